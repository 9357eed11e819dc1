# chronos.bash - completes the commands, options and partitions of chronos.
# SPDX-License-Identifier: Apache-2.0

_chronos() {
	local commands="create list renew release run stats available watch arbiter doctor help"
	local options="--json --dir --devices --help --version"
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
	local verb="" given=0 dir=() i

	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		--dir) dir=(--dir "${COMP_WORDS[++i]}") ;;
		--devices | --user | --key | --idle-exit | --on-expire) ((i++)) ;;
		-*) ;;
		*) if [ -z "$verb" ]; then verb=${COMP_WORDS[i]}; else ((given++)); fi ;;
		esac
	done
	COMPREPLY=()
	case $before in
	--dir) mapfile -t COMPREPLY < <(compgen -d -- "$word") && return ;;
	--devices) mapfile -t COMPREPLY < <(compgen -W "auto simulated: opencl-cpu none" -- "$word") && return ;;
	--user) mapfile -t COMPREPLY < <(compgen -u -- "$word") && return ;;
	--on-expire) mapfile -t COMPREPLY < <(compgen -W "refuse term kill" -- "$word") && return ;;
	--key | --idle-exit) return ;;
	esac
	# What stands behind the partition is a command of the user's own.
	if [ "$verb" = run ] && [ "$given" -gt 0 ]; then
		if [ "$given" -eq 1 ]; then
			mapfile -t COMPREPLY < <(compgen -c -- "$word")
		else
			mapfile -t COMPREPLY < <(compgen -f -- "$word")
		fi
		return
	fi
	case $verb in
	create) options+=" --user --key --burst" ;;
	arbiter) options+=" --background --idle-exit" ;;
	run) options+=" --on-expire" ;;
	esac
	if [[ $word == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word")
		return
	fi
	case $verb:$given in
	:0 | help:0) mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$word") ;;
	renew:0 | release:0 | run:0)
		mapfile -t COMPREPLY < <(compgen -W "$(chronos list "${dir[@]}" 2>/dev/null | sed -n 's/^| \(p-[0-9a-f]*\) .*/\1/p')" -- "$word")
		;;
	esac
}
complete -F _chronos chronos
