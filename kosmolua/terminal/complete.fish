
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
