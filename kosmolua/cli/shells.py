"""Completion scripts for bash, zsh and fish. Each contains tables and a few lines of code that read them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct


class Knowledge(Struct, frozen=True, kw_only=True):
    """The tables for completion. ``valued`` are the flags that take a value; ``calls`` the commands that take a
    function, the first of them with the provider's prefix.
    """

    programs: tuple[str, ...]
    provider: str
    commands: Mapping[str, str]
    short: Mapping[str, str]
    functions: Mapping[str, str]
    flags: Mapping[str, tuple[str, ...]]
    parameters: Mapping[str, tuple[str, ...]]
    values: Mapping[str, tuple[str, ...]]
    arguments: Mapping[str, tuple[str, ...]]
    valued: tuple[str, ...]
    calls: tuple[str, str]


def bash(known: Knowledge) -> str:
    return f"# completion of {known.programs[0]} for bash\n{_common(known)}{_BASH}" + _ending(
        "complete -o bashdefault -o default -F _kosmo", known
    )


def zsh(known: Knowledge) -> str:
    header = f"#compdef {' '.join(known.programs)}\n# completion of {known.programs[0]} for zsh\n"
    return header + _common(known) + _ZSH.replace("PROGRAMS", " ".join(known.programs))


def fish(known: Knowledge) -> str:
    tables = "\n".join(
        [
            _switch("__kosmo_flags", known.flags),
            _switch("__kosmo_parameters", known.parameters),
            _switch("__kosmo_values", known.values),
            _switch("__kosmo_arguments", known.arguments),
            _switch("__kosmo_short", {name: (command,) for name, command in known.short.items()}),
            _listing("__kosmo_commands", known.commands),
            _listing("__kosmo_functions", known.functions),
            _membership(known),
        ]
    )
    programs = " ".join(known.programs)
    return f"# completion of {known.programs[0]} for fish\n{tables}\n" + _filled(_FISH, known).replace(
        "PROGRAMS", programs
    )


def _ending(command: str, known: Knowledge) -> str:
    return f"{command} {' '.join(known.programs)}\n"


def _filled(script: str, known: Knowledge) -> str:
    return script.replace("PROVIDER", known.provider).replace("CALL", known.calls[0]).replace("DIRECT", known.calls[1])


# Code for bash and zsh ---------------------------------------------------------------------------------------------


def _common(known: Knowledge) -> str:
    tables = [
        _case("_kosmo_flags", known.flags),
        _case("_kosmo_parameters", known.parameters),
        _case("_kosmo_values", known.values),
        _case("_kosmo_arguments", known.arguments),
        _case("_kosmo_short", {name: (command,) for name, command in known.short.items()}),
        f"_kosmo_takes_value() {{\n  case $1 in\n    {'|'.join(known.valued)}) return 0 ;;\n  esac\n  return 1\n}}",
        f"_kosmo_commands='{' '.join(known.commands)}'",
        f"_kosmo_functions='{' '.join(known.functions)}'",
    ]
    return "\n".join(tables) + _filled(_CANDIDATES, known)


def _case(name: str, table: Mapping[str, Iterable[str]]) -> str:
    rows = "".join(f"    '{key}') echo '{' '.join(words)}' ;;\n" for key, words in table.items())
    return f"{name}() {{\n  case $1 in\n{rows}  esac\n}}"


_CANDIDATES = r"""
# Print the models or inputs for the last argument; fails if the tables know what belongs there.
_kosmo_run() {
  local last=""
  for last in "$@"; do :; done
  case $last in
    -*) return 1 ;;
  esac
  command kosmo completion run "$@" 2>/dev/null
}
# Print the candidates for the last argument; the first argument is the command.
_kosmo_candidates() {
  [ -n "${ZSH_VERSION-}" ] && emulate -L sh
  local command="$1" previous="" name="" values="" skip="" prefix="" word=""
  if [ $# -le 1 ]; then
    echo "$_kosmo_commands --help --version"
    return
  fi
  values=$(_kosmo_short "$command")
  command=${values:-$command}
  shift
  [ "$command" = run ] && _kosmo_run "$@" && return
  while [ $# -gt 1 ]; do
    if [ -n "$skip" ]; then
      skip=""
    elif _kosmo_takes_value "$1"; then
      skip=1
    else
      case $1 in
        -*) ;;
        *) name=${name:-$1} ;;
      esac
    fi
    previous=$1
    shift
  done
  case $command in
    CALL|DIRECT) ;;
    *) name="" ;;
  esac
  name=${name#PROVIDER.}
  name=${name#PROVIDER_}
  values=$(_kosmo_values "$name $previous")
  values=${values:-$(_kosmo_values "$previous")}
  if [ -n "$skip" ]; then
    echo "$values"
    return
  fi
  case $1 in
    -*)
      [ -n "$name" ] && _kosmo_parameters "$name"
      _kosmo_flags "$command"
      return ;;
  esac
  case $command in
    CALL) prefix=PROVIDER. ;;
    DIRECT) ;;
    *)
      _kosmo_arguments "$command"
      return ;;
  esac
  [ -n "$name" ] && return
  case $1 in
    *PROVIDER_*) prefix=${prefix}PROVIDER_ ;;
  esac
  for word in $_kosmo_functions; do
    echo "$prefix$word"
  done
}
"""

_BASH = r"""
# bash splits words at colons and equals signs; join them again.
_kosmo() {
  local word="" current="" glue="" strip="" index=0
  local -a words=()
  COMPREPLY=()
  for ((index = 1; index <= COMP_CWORD; index++)); do
    word=${COMP_WORDS[index]-}
    case $word in
      :*|=*) glue=1 ;;
    esac
    if [[ -n $glue && ${#words[@]} -gt 0 ]]; then
      words[${#words[@]}-1]+=$word
    else
      words+=("$word")
    fi
    case $word in
      :|=) glue=1 ;;
      *) glue="" ;;
    esac
  done
  current=${words[${#words[@]}-1]}
  case $COMP_WORDBREAKS in
    *:*=*|*=*:*) strip=${current%"${current##*[:=]}"} ;;
    *:*) strip=${current%"${current##*:}"} ;;
    *=*) strip=${current%"${current##*=}"} ;;
  esac
  for word in $(compgen -W "$(_kosmo_candidates "${words[@]}")" -- "$current"); do
    COMPREPLY+=("${word#"$strip"}")
  done
  if [[ ${COMPREPLY[0]-} == *= ]]; then
    compopt -o nospace 2>/dev/null
  fi
}
"""

_ZSH = r"""
_kosmo() {
  local -a found
  found=(${=$(_kosmo_candidates "${(@Q)words[2,CURRENT]}")})
  if (( ${#found} )); then
    [[ $found[1] == *= ]] && compadd -S '' -a found || compadd -a found
  else
    _files
  fi
}

if [[ ${funcstack[1]-} == _kosmo ]]; then
  _kosmo "$@"
elif (( ${+functions[compdef]} )); then
  compdef _kosmo PROGRAMS
fi
"""


# fish ---------------------------------------------------------------------------------------------------------------


def _switch(name: str, table: Mapping[str, Iterable[str]]) -> str:
    rows = "".join(
        f"        case '{key}'\n            printf '%s\\n' {' '.join(words)}\n" for key, words in table.items() if words
    )
    return f"function {name}\n    switch $argv[1]\n{rows}    end\nend"


def _listing(name: str, table: Mapping[str, str]) -> str:
    rows = "".join(f"    printf '%s\\t%s\\n' $argv[1]{word} {_quoted(what)}\n" for word, what in table.items())
    return f"function {name}\n{rows}end"


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _membership(known: Knowledge) -> str:
    return f"function __kosmo_takes_value\n    contains -- $argv[1] {' '.join(known.valued)}\nend"


_FISH = r"""
function __kosmo_candidates
    set -l words (commandline -opc)[2..-1]
    set -l current (commandline -ct)
    if test (count $words) -eq 0
        __kosmo_commands ''
        return
    end
    set -l command $words[1]
    set -l long (__kosmo_short $command)
    test -n "$long"; and set command $long
    if test $command = run; and not string match -q -- '-*' $current
        command kosmo completion run $words[2..-1] $current 2>/dev/null; and return
    end
    set -l name ''
    set -l skip ''
    for word in $words[2..-1]
        if test -n "$skip"
            set skip ''
        else if __kosmo_takes_value $word
            set skip $word
        else if not string match -q -- '-*' $word; and test -z "$name"
            set name (string replace -r -- '^(PROVIDER\.)?(PROVIDER_)?' '' $word)
        end
    end
    contains -- $command CALL DIRECT; or set name ''
    if test -n "$skip"
        __kosmo_values "$name $skip"
        __kosmo_values $skip
        return
    end
    if string match -q -- '-*' $current
        test -n "$name"; and __kosmo_parameters $name
        __kosmo_flags $command
        return
    end
    if not contains -- $command CALL DIRECT
        __kosmo_arguments $command
        return
    end
    test -n "$name"; and return
    set -l prefix ''
    test $command = CALL; and set prefix PROVIDER.
    string match -q -- '*PROVIDER_*' $current; and set prefix {$prefix}PROVIDER_
    __kosmo_functions $prefix
end

for program in PROGRAMS
    complete -c $program -n 'test (count (__kosmo_candidates)) -gt 0' -f
    complete -c $program -a '(__kosmo_candidates)'
end
"""
