"""Messages by SMTP (RFC 5321), over TLS unless the server is said to have none."""

from __future__ import annotations

import smtplib
import ssl
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

from paas.adapters.http import in_words
from paas.errors import PaasError
from paas.model import names
from paas.model.incident import Address
from paas.model.message import Message

TIMEOUT = 15.0                           # seconds for each step


def send(address: Address, message: Message) -> str:
    """:raises PaasError: the server cannot be reached, or did not take it."""
    try:
        with connect(address) as server:
            if address.tls == "starttls":
                server.starttls(context=ssl.create_default_context())
            if address.user:
                server.login(address.user, address.secret.reveal())
            server.send_message(letter(address, message))
    except ssl.SSLCertVerificationError as error:
        raise PaasError(f"the certificate of {address.host} is not trusted: {error.verify_message}",
                        "Its authority must be one that this machine knows.") from None
    except smtplib.SMTPException as error:
        raise PaasError(f"{address.host} did not take it: {said(error)}", "Check user, password and addresses.") \
            from None
    except (OSError, ValueError) as error:
        raise PaasError(f"{address.host} cannot be reached: {in_words(error)}", "Check --smtp-host and --smtp-port.") \
            from None
    return f"{address.host} took it for {address.url.reveal()}"


def connect(address: Address) -> smtplib.SMTP:
    if address.tls == "tls":
        return smtplib.SMTP_SSL(address.host, address.port, timeout=TIMEOUT, context=ssl.create_default_context())
    return smtplib.SMTP(address.host, address.port, timeout=TIMEOUT)


def letter(address: Address, message: Message) -> EmailMessage:
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = address.sender, address.url.reveal(), message.title
    made["Date"], made["Message-ID"] = formatdate(), make_msgid(domain=address.sender.rpartition("@")[2])
    made["Auto-Submitted"] = "auto-generated"            # RFC 3834: no holiday notes in return
    made.set_content(message.text + "\n", cte="quoted-printable")     # for servers without 8BITMIME
    return made


def said(error: smtplib.SMTPException) -> str:
    """What the server answered; never what it was sent."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code, text = next(iter(error.recipients.values()))
    elif isinstance(error, smtplib.SMTPResponseException):
        code, text = error.smtp_code, error.smtp_error
    else:
        return names.printable(str(error), 200)
    return names.printable(f"{code} {text.decode('utf-8', 'replace') if isinstance(text, bytes) else text}", 200)
