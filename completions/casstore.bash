# bash completion for casstore: made by tools/man from the program's declarations; change those

_casstore_options() {
    case $1 in
        '') echo '--help --lock-timeout --store --version' ;;
        'cat') echo '--help --platform --progress' ;;
        'config') echo '--help' ;;
        'config get') echo '--help' ;;
        'config ls') echo '--format --help' ;;
        'config set') echo '--help' ;;
        'config unset') echo '--help' ;;
        'copy') echo '--all -a --compression --help --max-layer-size --plain-http --platform --verify' ;;
        'cp') echo '--archive -a --follow-link -L --help --keep-setid --platform --progress' ;;
        'decrypt') echo '--help --key --max-layer-size --password-file' ;;
        'df') echo '--format --help --verbose -v' ;;
        'diff') echo '--exit-code --format --help --platform --progress --times' ;;
        'encrypt') echo '--help --layer --recipient' ;;
        'events') echo '--filter -f --format --help --since --until' ;;
        'export') echo '--help --output -o --platform --progress' ;;
        'fsck') echo '--format --help --progress --quick --rebuild --repair --repair-from' ;;
        'gc') echo '--dry-run --empty-trash --filter --format --help --high-water --keep --low-water --max-used-space --metrics --min-age --min-free-space --nice --only --plan --policy --progress --protect --reserved-space --save-plan --until --unused-for' ;;
        'history') echo '--format --help --human -H --no-trunc --quiet -q' ;;
        'images') echo '--all -a --digests --filter -f --format --help --no-trunc --quiet -q --tree' ;;
        'import') echo '--change -c --compression --help --max-layer-size --message -m --parent --platform --progress' ;;
        'inspect') echo '--attestations --format -f --help --key --platform --size -s --type' ;;
        'key') echo '--help' ;;
        'key generate') echo '--help --output-key-prefix -o --password-file' ;;
        'key public') echo '--help --password-file' ;;
        'lease') echo '--help' ;;
        'lease add') echo '--help --ttl' ;;
        'lease ls') echo '--format --help --no-trunc --quiet -q' ;;
        'lease rm') echo '--help' ;;
        'lease run') echo '--help' ;;
        'load') echo '--compression --help --input -i --link --max-layer-size --no-clobber --policy --progress --quiet -q --tag -t --verify' ;;
        'login') echo '--help --password-stdin --plain-http --username -u' ;;
        'logout') echo '--help' ;;
        'pin') echo '--help' ;;
        'ls') echo '--format --help --layer --long -l --platform --progress --recursive -R' ;;
        'prune') echo '--all -a --dry-run --filter --force -f --format --help --keep --progress' ;;
        'publish') echo '--help --mode' ;;
        'pull') echo '--all-platforms --all-tags -a --help --max-layer-size --plain-http --platform --policy --progress --quiet -q --referrers --verify' ;;
        'push') echo '--all-tags -a --help --plain-http --progress --quiet -q --referrers' ;;
        'report') echo '--files --help --output -o --progress' ;;
        'restore') echo '--as --help' ;;
        'rmi') echo '--dry-run --force -f --format --glob --help --keep --no-prune --verbose' ;;
        'save') echo '--delta-from --exclude-base --format --help --output -o --platform --progress --since' ;;
        'sbom') echo '--digest --format --help --key --platform --type' ;;
        'serve') echo '--docker --docker-mirror --help --htpasswd --idle-exit --insecure --log-format --name --read-only --registry --registry-mirror --tls-cert --tls-key --workers' ;;
        'sign') echo '--annotations -a --help --key --password-file --type' ;;
        'tag') echo '--help' ;;
        'trash') echo '--help' ;;
        'trash empty') echo '--help' ;;
        'trash ls') echo '--format --help --no-trunc --quiet -q' ;;
        'tree') echo '--by --format --help --layers --no-trunc --platform --progress' ;;
        'unpack') echo '--force --help --keep-setid --platform --progress --rootless' ;;
        'unpin') echo '--help' ;;
        'verify') echo '--annotations -a --help --identity --key' ;;
        'why') echo '--format --help --no-trunc' ;;
    esac
}

_casstore_value() {
    case $1 in
        ' --lock-timeout') echo 'nothing' ;;
        ' --store') echo 'directory' ;;
        'cat --platform') echo 'nothing' ;;
        'cat --progress') echo 'words auto plain none json tty' ;;
        'config ls --format') echo 'nothing' ;;
        'copy --compression') echo 'nothing' ;;
        'copy --max-layer-size') echo 'nothing' ;;
        'copy --verify') echo 'words all digest' ;;
        'copy --platform') echo 'nothing' ;;
        'cp --platform') echo 'nothing' ;;
        'cp --progress') echo 'words auto plain none json tty' ;;
        'decrypt --key') echo 'file' ;;
        'decrypt --password-file') echo 'file' ;;
        'decrypt --max-layer-size') echo 'nothing' ;;
        'df --format') echo 'nothing' ;;
        'diff --format') echo 'words json' ;;
        'diff --platform') echo 'nothing' ;;
        'diff --progress') echo 'words auto plain none json tty' ;;
        'encrypt --layer') echo 'nothing' ;;
        'encrypt --recipient') echo 'nothing' ;;
        'events --filter') echo 'nothing' ;;
        'events -f') echo 'nothing' ;;
        'events --format') echo 'nothing' ;;
        'events --since') echo 'nothing' ;;
        'events --until') echo 'nothing' ;;
        'export --output') echo 'file' ;;
        'export -o') echo 'file' ;;
        'export --platform') echo 'nothing' ;;
        'export --progress') echo 'words auto plain none json tty' ;;
        'fsck --format') echo 'words json' ;;
        'fsck --progress') echo 'words auto plain none json tty' ;;
        'fsck --repair-from') echo 'file' ;;
        'gc --max-used-space') echo 'nothing' ;;
        'gc --min-free-space') echo 'nothing' ;;
        'gc --reserved-space') echo 'nothing' ;;
        'gc --high-water') echo 'nothing' ;;
        'gc --low-water') echo 'nothing' ;;
        'gc --unused-for') echo 'nothing' ;;
        'gc --until') echo 'nothing' ;;
        'gc --keep') echo 'nothing' ;;
        'gc --protect') echo 'nothing' ;;
        'gc --only') echo 'nothing' ;;
        'gc --filter') echo 'nothing' ;;
        'gc --min-age') echo 'nothing' ;;
        'gc --format') echo 'words json' ;;
        'gc --metrics') echo 'file' ;;
        'gc --nice') echo 'nothing' ;;
        'gc --plan') echo 'file' ;;
        'gc --policy') echo 'file' ;;
        'gc --progress') echo 'words auto plain none json tty' ;;
        'gc --save-plan') echo 'file' ;;
        'history --format') echo 'nothing' ;;
        'images --filter') echo 'nothing' ;;
        'images -f') echo 'nothing' ;;
        'images --format') echo 'nothing' ;;
        'import --change') echo 'nothing' ;;
        'import -c') echo 'nothing' ;;
        'import --message') echo 'nothing' ;;
        'import -m') echo 'nothing' ;;
        'import --platform') echo 'nothing' ;;
        'import --compression') echo 'nothing' ;;
        'import --progress') echo 'words auto plain none json tty' ;;
        'import --max-layer-size') echo 'nothing' ;;
        'import --parent') echo 'image' ;;
        'inspect --format') echo 'nothing' ;;
        'inspect -f') echo 'nothing' ;;
        'inspect --key') echo 'file' ;;
        'inspect --platform') echo 'nothing' ;;
        'inspect --type') echo 'words image' ;;
        'key generate --output-key-prefix') echo 'file' ;;
        'key generate -o') echo 'file' ;;
        'key generate --password-file') echo 'file' ;;
        'key public --password-file') echo 'file' ;;
        'lease add --ttl') echo 'nothing' ;;
        'lease ls --format') echo 'nothing' ;;
        'load --input') echo 'file' ;;
        'load -i') echo 'file' ;;
        'load --compression') echo 'nothing' ;;
        'load --policy') echo 'file' ;;
        'load --progress') echo 'words auto plain none json tty' ;;
        'load --max-layer-size') echo 'nothing' ;;
        'load --verify') echo 'words all digest' ;;
        'load --tag') echo 'nothing' ;;
        'load -t') echo 'nothing' ;;
        'login --username') echo 'nothing' ;;
        'login -u') echo 'nothing' ;;
        'ls --format') echo 'nothing' ;;
        'ls --layer') echo 'nothing' ;;
        'ls --platform') echo 'nothing' ;;
        'ls --progress') echo 'words auto plain none json tty' ;;
        'prune --filter') echo 'nothing' ;;
        'prune --format') echo 'words json' ;;
        'prune --keep') echo 'nothing' ;;
        'prune --progress') echo 'words auto plain none json tty' ;;
        'publish --mode') echo 'words always on-demand' ;;
        'pull --platform') echo 'nothing' ;;
        'pull --policy') echo 'file' ;;
        'pull --progress') echo 'words auto plain none json tty' ;;
        'pull --max-layer-size') echo 'nothing' ;;
        'pull --verify') echo 'words all digest' ;;
        'push --progress') echo 'words auto plain none json tty' ;;
        'report --output') echo 'file' ;;
        'report -o') echo 'file' ;;
        'report --progress') echo 'words auto plain none json tty' ;;
        'restore --as') echo 'nothing' ;;
        'rmi --format') echo 'words json' ;;
        'rmi --keep') echo 'nothing' ;;
        'save --output') echo 'file' ;;
        'save -o') echo 'file' ;;
        'save --format') echo 'words docker oci oci-dir dir' ;;
        'save --platform') echo 'nothing' ;;
        'save --exclude-base') echo 'image' ;;
        'save --delta-from') echo 'image' ;;
        'save --since') echo 'file' ;;
        'save --progress') echo 'words auto plain none json tty' ;;
        'sbom --digest') echo 'nothing' ;;
        'sbom --format') echo 'words json statement' ;;
        'sbom --key') echo 'file' ;;
        'sbom --platform') echo 'nothing' ;;
        'sbom --type') echo 'nothing' ;;
        'serve --docker') echo 'nothing' ;;
        'serve --docker-mirror') echo 'nothing' ;;
        'serve --htpasswd') echo 'file' ;;
        'serve --idle-exit') echo 'nothing' ;;
        'serve --log-format') echo 'words text json' ;;
        'serve --name') echo 'nothing' ;;
        'serve --registry') echo 'nothing' ;;
        'serve --registry-mirror') echo 'nothing' ;;
        'serve --tls-cert') echo 'file' ;;
        'serve --tls-key') echo 'file' ;;
        'serve --workers') echo 'nothing' ;;
        'sign --annotations') echo 'nothing' ;;
        'sign -a') echo 'nothing' ;;
        'sign --key') echo 'file' ;;
        'sign --password-file') echo 'file' ;;
        'sign --type') echo 'words tag referrer' ;;
        'trash ls --format') echo 'nothing' ;;
        'tree --by') echo 'words layers parent' ;;
        'tree --format') echo 'words json' ;;
        'tree --platform') echo 'nothing' ;;
        'tree --progress') echo 'words auto plain none json tty' ;;
        'unpack --platform') echo 'nothing' ;;
        'unpack --progress') echo 'words auto plain none json tty' ;;
        'verify --annotations') echo 'nothing' ;;
        'verify -a') echo 'nothing' ;;
        'verify --identity') echo 'nothing' ;;
        'verify --key') echo 'file' ;;
        'why --format') echo 'words json' ;;
    esac
}

_casstore_argument() {
    case $1 in
        'cat') echo image ;;
        'copy') echo image ;;
        'cp') echo image ;;
        'decrypt') echo image ;;
        'diff') echo image ;;
        'encrypt') echo image ;;
        'export') echo image ;;
        'history') echo image ;;
        'images') echo image ;;
        'import') echo file ;;
        'inspect') echo image ;;
        'key public') echo file ;;
        'lease add') echo image ;;
        'lease rm') echo lease ;;
        'lease run') echo image ;;
        'load') echo file ;;
        'pin') echo image ;;
        'ls') echo image ;;
        'push') echo image ;;
        'rmi') echo image ;;
        'save') echo image ;;
        'sbom') echo image ;;
        'sign') echo image ;;
        'tag') echo image ;;
        'tree') echo image ;;
        'unpack') echo image ;;
        'unpin') echo image ;;
        'verify') echo image ;;
        'why') echo image ;;
    esac
}

_casstore_subcommands() {
    case $1 in
        image) echo 'history import inspect load prune pull push save tag list ls remove rm' ;;
        system) echo 'df' ;;
        config) echo 'get ls set unset' ;;
        key) echo 'generate public' ;;
        lease) echo 'add ls rm run' ;;
        trash) echo 'empty ls' ;;
    esac
}

_casstore_alias() {
    case $1 in
        'image history') echo history ;;
        'image import') echo import ;;
        'image inspect') echo inspect ;;
        'image load') echo load ;;
        'image prune') echo prune ;;
        'image pull') echo pull ;;
        'image push') echo push ;;
        'image save') echo save ;;
        'image tag') echo tag ;;
        'image list') echo images ;;
        'image ls') echo images ;;
        'image remove') echo rmi ;;
        'image rm') echo rmi ;;
        'system df') echo df ;;
        *) echo "$1" ;;
    esac
}

_casstore() {
    local line=${COMP_LINE:0:COMP_POINT} word cur command="" value="" kind=argument offer="" i
    local -a words globals=()
    # Not COMP_WORDS: bash cuts words at the colon of a tag.
    read -ra words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    cur=${words[${#words[@]} - 1]}
    for ((i = 1; i < ${#words[@]} - 1; i++)); do
        word=${words[i]}
        if [[ -n $value ]]; then
            value=""
        elif [[ $word == -- ]]; then
            kind=rest
        elif [[ $word == -* && $kind != rest ]]; then
            [[ $word != *=* && -n $(_casstore_value "$command $word") ]] && value=$word
            [[ $word == --store=* ]] && globals=("$word")
            [[ $word == --store ]] && globals=(--store "${words[i + 1]}")
        elif [[ -z $command || $command != *" "* && -n $(_casstore_subcommands "$command") ]]; then
            command=$(_casstore_alias "${command:+$command }$word")
        fi
    done
    if [[ -n $value ]]; then
        kind=$(_casstore_value "$command $value")
    elif [[ $kind == rest ]]; then
        kind=file
    elif [[ $cur == -* ]]; then
        kind="words $(_casstore_options "$command")"
    elif [[ -z $command ]]; then
        kind="words cat config copy cp decrypt df diff encrypt events export fsck gc history image images import inspect key lease load login logout ls pin prune publish pull push report restore rmi save sbom serve sign system tag trash tree unpack unpin verify why"
    elif [[ -n $(_casstore_subcommands "$command") ]]; then
        kind="words $(_casstore_subcommands "$command")"
    else
        kind=$(_casstore_argument "$command")
    fi
    COMPREPLY=()
    case $kind in
        words*) offer=${kind#words} ;;
        file) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
        directory) mapfile -t COMPREPLY < <(compgen -d -- "$cur") ;;
        image)
            offer=$(casstore "${globals[@]}" __complete images -- "$cur" 2>/dev/null)
            ;;
        lease) offer=$(casstore "${globals[@]}" lease ls -q 2>/dev/null) ;;
    esac
    [[ $kind == file || $kind == directory ]] && compopt -o filenames 2>/dev/null
    [[ -n $offer ]] && mapfile -t COMPREPLY < <(compgen -W "$offer" -- "$cur")
    if [[ $cur == *:* && $COMP_WORDBREAKS == *:* ]]; then
        COMPREPLY=("${COMPREPLY[@]#"${cur%"${cur##*:}"}"}")
    fi
}

complete -F _casstore casstore
