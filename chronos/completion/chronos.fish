# chronos.fish - completes the commands, options and partitions of chronos.
# SPDX-License-Identifier: Apache-2.0

set -l commands create list renew release run stats available watch arbiter doctor help

function __chronos_partitions
	chronos list 2>/dev/null | string match -rg '^\| (p-[0-9a-f]*) '
end

complete -c chronos -f
complete -c chronos -n "not __fish_seen_subcommand_from $commands" -a "$commands"
complete -c chronos -n "__fish_seen_subcommand_from help" -a "$commands"
complete -c chronos -n "__fish_seen_subcommand_from renew release run" -a "(__chronos_partitions)"
complete -c chronos -n "__fish_seen_subcommand_from run" -F
complete -c chronos -l json -d "answer in JSON"
complete -c chronos -l dir -r -a "(__fish_complete_directories)" -d "where the state is kept"
complete -c chronos -l devices -x -a "auto simulated:2 opencl-cpu none" -d "tell the directory its devices"
complete -c chronos -l help -d "say more"
complete -c chronos -l version -d "show the version"
complete -c chronos -n "__fish_seen_subcommand_from create" -l user -x -a "(__fish_complete_users)" -d "for this user"
complete -c chronos -n "__fish_seen_subcommand_from create" -l key -x -d "a name for it"
complete -c chronos -n "__fish_seen_subcommand_from create" -l burst -d "use time that nobody else wants"
complete -c chronos -n "__fish_seen_subcommand_from arbiter" -l background -d "go on after this command has ended"
complete -c chronos -n "__fish_seen_subcommand_from arbiter" -l idle-exit -x -d "end when no partition was joinable for so long"
complete -c chronos -n "__fish_seen_subcommand_from run" -l on-expire -x -a "refuse term kill" -d "when the partition ends"
