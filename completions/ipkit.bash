# Completion of ipkit for bash. The program itself is asked what fits.

_ipkit() {
    local -a words=()
    local word joined= kind value index

    # Bash cuts --format=json into three words; the program wants one.
    for word in "${COMP_WORDS[@]:0:COMP_CWORD+1}"; do
        if [[ ${#words[@]} -gt 0 && ${words[-1]} == --* && $word == '=' ]]; then
            words[-1]+='='
            joined=yes
        elif [[ -n $joined ]]; then
            words[-1]+=$word
            joined=
        else
            words+=("$word")
        fi
    done
    index=$((${#words[@]} - 1))

    COMPREPLY=()
    while IFS=, read -r kind value; do
        case $kind in
            file) compopt -o default ;;
            dir) compopt -o dirnames ;;
            plain) COMPREPLY+=("$value") ;;
        esac
    done < <(IFS=$'\n'; env COMP_WORDS="${words[*]}" COMP_CWORD=$index _IPKIT_COMPLETE=bash_complete "${1/#\~/$HOME}" 2>/dev/null)
}

complete -o nosort -F _ipkit ipkit 2>/dev/null || complete -F _ipkit ipkit
