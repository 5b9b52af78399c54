"""Shell completion that knows the verbs: small scripts that ask ``robo-reward completion query``."""

from __future__ import annotations

from robo_reward.cli import help_pages
from robo_reward.errors import UserError, unknown_name

SCRIPTS = {
    "bash": """\
_robo_reward() {
  local IFS=$'\\n' COMP_WORDBREAKS="${COMP_WORDBREAKS//[=:]/}" words cword cur
  local line="${COMP_LINE:0:COMP_POINT}"
  cur="${line##* }"
  COMPREPLY=($(robo-reward completion query "$line" 2>/dev/null))
  # bash splits words at '=' and ':', so what stands before the last of them must not be repeated
  local keep="${cur%"${cur##*[=:]}"}" i
  for i in "${!COMPREPLY[@]}"; do COMPREPLY[i]="${COMPREPLY[i]#"$keep"}"; done
}
complete -o nospace -F _robo_reward robo-reward
""",
    "zsh": """\
_robo_reward() {
  local -a found
  found=("${(@f)$(robo-reward completion query "${LBUFFER}" 2>/dev/null)}")
  compadd -Q -S '' -a found
}
compdef _robo_reward robo-reward
""",
    "fish": """\
complete -c robo-reward -f -a '(robo-reward completion query (commandline -cp) 2>/dev/null)'
""",
}


def run(words: list[str]) -> int:
    """``completion SHELL`` prints a script, ``completion query LINE`` the words that may end LINE."""
    match words:
        case ["query", line]:
            print("\n".join(complete(line)))
        case [shell] if shell in SCRIPTS:
            print(SCRIPTS[shell], end="")
        case [shell] if shell not in ("-h", "--help"):
            raise unknown_name("shell", shell, SCRIPTS)
        case _:
            raise UserError('usage: eval "$(robo-reward completion bash)" (or zsh; fish: ... | source)')
    return 0


def complete(line: str) -> list[str]:
    """The words that may end a command line: verbs first, then what hydra knows about the verb."""
    _, _, rest = line.lstrip().partition(" ")
    verb, space, overrides = rest.lstrip().partition(" ")
    if not space:
        return [name for name in [*help_pages.verbs(), "completion"] if name.startswith(verb)]
    return _hydra_words(verb, overrides) if verb in help_pages.verbs() else []


def _hydra_words(verb: str, overrides: str) -> list[str]:
    from hydra import initialize_config_module
    from hydra.core.global_hydra import GlobalHydra
    from hydra.plugins.completion_plugin import DefaultCompletionPlugin

    with initialize_config_module("robo_reward.configs", version_base="1.3"):
        plugin = DefaultCompletionPlugin(GlobalHydra.instance().config_loader())
        words: list[str] = plugin._query(config_name=verb, line=overrides.lstrip())
    return [word for word in words if not word.startswith("hydra")]
