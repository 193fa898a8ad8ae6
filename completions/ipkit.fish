# Completion of ipkit for fish. The program itself is asked what fits.

function __ipkit_complete
    set -l token (commandline -ct)
    # What stands before the sign in --format=json is part of the answer.
    set -l before (string match -r -- '^--[^=]*=' $token)

    for answer in (COMP_WORDS=(commandline -cp | string collect) COMP_CWORD="$token" _IPKIT_COMPLETE=fish_complete ipkit 2>/dev/null)
        set -l parts (string split -m 1 -- ',' $answer)
        switch $parts[1]
            case file
                __fish_complete_path (string replace -- "$before" '' $token)
            case dir
                __fish_complete_directories (string replace -- "$before" '' $token)
            case plain
                echo -- "$before$parts[2]"
        end
    end
end

complete --command ipkit --no-files --arguments '(__ipkit_complete)'
