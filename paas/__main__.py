"""``python -m paas``: on the server the thin client of its socket, elsewhere the client over SSH."""

from paas.laptop import main

if __name__ == "__main__":
    main()
