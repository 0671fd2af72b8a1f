
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
