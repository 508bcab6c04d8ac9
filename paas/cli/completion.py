"""Shell completion: the scripts, and what they ask."""

import click

from paas.cli.base import COMMANDS, Call, Command, command
from paas.cli.help import visible

# bash treats ':' as a word break: the script cuts the words itself, and off the answers what is already typed.
BASH = """\
_paas() {
    local line="${COMP_LINE:0:COMP_POINT}" words current typed
    read -r -a words <<< "$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    current="${words[${#words[@]}-1]}"
    typed="${current%"${current##*:}"}"
    mapfile -t COMPREPLY < <(paas :complete -- "${words[@]:1}" 2>/dev/null)
    COMPREPLY=("${COMPREPLY[@]#"$typed"}")
}
complete -F _paas paas
"""

# As a file of $fpath zsh runs it in place of the function, at the first completion; sourced, it only registers.
ZSH = """\
#compdef paas
_paas() {
    local -a answers
    answers=(${(f)"$(paas :complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)"})
    compadd -- $answers
}
if [[ $funcstack[1] == _paas ]]; then
    _paas
else
    compdef _paas paas
fi
"""

FISH = """\
complete -c paas -f -a '(paas :complete -- (commandline -opc)[2..] (commandline -ct) 2>/dev/null)'
"""

SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


@command("completion")
@click.argument("shell", type=click.Choice(sorted(SCRIPTS)))
def completion(call: Call, shell: str) -> None:
    """Print a completion script for a shell.

    zsh reads it as /usr/local/share/zsh/site-functions/_paas, fish as /etc/fish/completions/paas.fish.

    Example: paas completion bash > /etc/bash_completion.d/paas
    """
    call.session.out(SCRIPTS[shell])


@command(":complete", hidden=True, passthrough=True)
@click.argument("words", nargs=-1)
def complete(call: Call, words: tuple[str, ...]) -> None:
    """What the last of the words may become."""
    for answer in candidates(call, list(words) or [""]):
        call.put(answer)


def candidates(call: Call, words: list[str]) -> list[str]:
    """Command names for the first word; then options, or the app where one is expected."""
    current = words[-1]
    if len(words) == 1:
        return [name for name in visible() if name.startswith(current)]
    chosen = COMMANDS.get(words[0])
    if words[0] == "help":
        return [name for name in visible() if name.startswith(current)]
    if chosen is None:
        return []
    if current.startswith("-"):
        return [option for option in options(chosen) if option.startswith(current)]
    arguments = [word for word in words[1:-1] if not word.startswith("-")]
    expects_app = chosen.takes_app and (not arguments or words[-2] == "--app")
    return [app.name for app in call.rt.store.apps() if app.name.startswith(current)] if expects_app else []


def options(chosen: Command) -> list[str]:
    own = [name for param in chosen.params if isinstance(param, click.Option) for name in param.opts]
    return sorted([*own, "--help", *(["--app"] if chosen.takes_app else [])])
