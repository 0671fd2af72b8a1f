
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
