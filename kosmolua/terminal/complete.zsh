
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
