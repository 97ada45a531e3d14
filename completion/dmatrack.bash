# SPDX-License-Identifier: GPL-2.0-only OR MIT
#
# Completion of dmatrack's commands, options and arguments, for bash. They are read from
# the command's --help, so a new one needs no change here:
#
#	  name       description			in 'dmatrack --help'
#	  --option ARGUMENT   description		in 'dmatrack help COMMAND'
#	usage: dmatrack COMMAND [OPTION]... ARGUMENT [ARGUMENT]
#	ADDRESS:					the kinds of ADDRESS, up to an empty line
#
# What an argument can be follows from its name. Functions use the variables of
# _dmatrack(): $program, $command, $help (of the command), $cur (the word to complete).

_dmatrack_commands() {
	"$program" --help 2>/dev/null |
		sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p'
}

_dmatrack_options() {
	sed -n 's/^  \(-[a-z], \)\{0,1\}\(--[a-z0-9-]*\).*/\2/p' <<<"$help" | sort -u
}

# Name of an option's argument: DIR, FILE, ADDRESS, N ...; nothing for a flag
_dmatrack_argument() {	# OPTION
	sed -n "s/^  \(-[a-z], \)\{0,1\}$1 \([A-Z]\{1,\}\).*/\2/p
		s/^  $1, --[a-z-]* \([A-Z]\{1,\}\).*/\1/p" <<<"$help" | head -n 1
}

# Name of an operand, by its number from 0 on
_dmatrack_operand() {	# NUMBER
	local names
	read -ra names < <(sed -n 's/^\(usage:\|      \) dmatrack [a-z]* \[OPTION\]\.\.\. //p' \
		<<<"$help" | tail -n 1 | tr -d '[].')
	echo "${names[$1]-}"
}

# Devices that can be used. $_dmatrack_root: where /sys and /proc are, for tests
_dmatrack_devices() {
	local path
	for path in "${_dmatrack_root-}"/sys/bus/pci/drivers/vfio-pci/*:*:*.* \
			"${_dmatrack_root-}"/sys/bus/mdev/devices/*; do
		[ -e "$path" ] && echo "${path##*/}"
	done
}

# Devices in groups, whatever their drivers
_dmatrack_grouped() {
	local path
	for path in "${_dmatrack_root-}"/sys/kernel/iommu_groups/*/devices/*; do
		[ -e "$path" ] && echo "${path##*/}"
	done
}

# Processes that hold a container
_dmatrack_processes() {
	find "${_dmatrack_root-}"/proc/[0-9]*/fd -lname /dev/vfio/vfio 2>/dev/null |
		sed 's:/fd/[0-9]*$::; s:.*/::' | sort -un
}

# Files that begin with a text, and folders
_dmatrack_files() {	# TEXT
	local path head
	compgen -f -- "$cur" | while IFS= read -r path; do
		if [ -f "$path" ]; then
			LC_ALL=C IFS= read -r -n ${#1} head <"$path" 2>/dev/null
			[ "$head" = "$1" ] || continue
		fi
		printf '%s\n' "$path"
	done
}

_dmatrack_address() {
	case $cur in
	unix:*)	compgen -f -P unix: -- "${cur#unix:}" ;;
	exec:*)	compgen -c -P exec: -- "${cur#exec:}" ;;
	*)	compgen -W "$(sed -n '/^ADDRESS:/,/^$/s/^  \([a-z]*:\|-\).*/\1/p' <<<"$help")" \
			-- "$cur" ;;
	esac
}

# The values that an argument of this name can have
_dmatrack_values() {	# OPTION ARGUMENT; OPTION is empty for an operand
	case $1:$2 in
	--device:*)	compgen -W "$(_dmatrack_devices)" -- "$cur" ;;
	:DEVICE)	compgen -W "$(_dmatrack_grouped)" -- "$cur" ;;
	:ADDRESS)	_dmatrack_address ;;
	*:PID)		compgen -W "$(_dmatrack_processes)" -- "$cur" ;;
	*:USER)		compgen -u -- "$cur" ;;
	*:DIR)		compgen -d -- "$cur" ;;
	:IMAGE)		case $command in
			snapshot | receive)	compgen -f -- "$cur" ;;
			*)			_dmatrack_files DMTimage ;;
			esac ;;
	:RECORD)	_dmatrack_files '{"dmatrack_record"' ;;
	:COMMAND)	compgen -c -- "$cur" ;;
	*:FILE | :TRACE | :ARGUMENT)	compgen -f -- "$cur" ;;
	esac
}

# Bash divides words at colons and equals signs: join them again, in $words and $cword
_dmatrack_join() {
	local rest=$COMP_LINE word i
	for ((i = 0; i < ${#COMP_WORDS[@]}; i++)); do
		word=${COMP_WORDS[i]}
		if [ "$i" = 0 ] || [[ $rest == [[:blank:]]* ]]; then
			words+=("$word")
		else
			words[-1]+=$word
		fi
		rest=${rest#"${rest%%[![:blank:]]*}"}
		rest=${rest#"$word"}
		[ "$i" = "$COMP_CWORD" ] && cword=$((${#words[@]} - 1))
	done
}

# Number of operands before the word to complete
_dmatrack_operands() {
	local i n=0
	for ((i = 2; i < cword; i++)); do
		case ${words[i]} in
		-*=*)	;;
		-?*)	[ -n "$(_dmatrack_argument "${words[i]}")" ] && i=$((i + 1)) ;;
		*)	n=$((n + 1)) ;;
		esac
	done
	echo $n
}

_dmatrack_complete() {
	local option='' argument
	case $cur in
	--*=*)	option=${cur%%=*}
		cur=${cur#*=} ;;
	*)	[[ ${words[cword - 1]} == -?* ]] && option=${words[cword - 1]} ;;
	esac
	argument=$([ -n "$option" ] && _dmatrack_argument "$option")
	if [ -n "$argument" ]; then
		_dmatrack_values "$option" "$argument"
	elif [[ $cur == -?* ]]; then
		compgen -W "$(_dmatrack_options)" -- "$cur"
	else
		_dmatrack_values '' "$(_dmatrack_operand "$(_dmatrack_operands)")"
	fi
}

_dmatrack() {
	local words=() cword=0 cur program=${COMP_WORDS[0]} command help i
	_dmatrack_join
	cur=${words[cword]}
	command=${words[1]}
	if [ "$cword" = 1 ] || { [ "$cword" = 2 ] && [ "$command" = help ]; }; then
		mapfile -t COMPREPLY < <(compgen -W \
			"$(_dmatrack_commands) --help --version" -- "$cur")
		return
	fi
	help=$("$program" help "$command" 2>/dev/null)
	mapfile -t COMPREPLY < <(_dmatrack_complete)
	[[ $cur == --*=* ]] && cur=${cur#*=}
	# bash replaces only what follows the last colon
	if [[ $cur == *:* && $COMP_WORDBREAKS == *:* ]]; then
		for i in "${!COMPREPLY[@]}"; do
			COMPREPLY[i]=${COMPREPLY[i]#"${cur%"${cur##*:}"}"}
		done
	fi
	# only files' names are quoted; an address goes on behind its colon
	[ -e "${COMPREPLY[0]-}" ] || compopt +o filenames 2>/dev/null
	[[ ${COMPREPLY[0]-} == *: ]] && compopt -o nospace 2>/dev/null
	return 0
}

complete -o filenames -F _dmatrack dmatrack
