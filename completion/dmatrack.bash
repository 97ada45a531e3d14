# SPDX-License-Identifier: GPL-2.0-only OR MIT
#
# Completion of dmatrack's commands and options, for bash. They are read from the
# command's --help, so a new one needs no change here:
#
#	  name       description			in 'dmatrack --help'
#	  --option ARGUMENT   description		in 'dmatrack help COMMAND'

_dmatrack_commands() {
	"$1" --help 2>/dev/null |
		sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p'
}

# Lines of help that begin with an option
_dmatrack_lines() {	# DMATRACK COMMAND
	"$1" help "$2" 2>/dev/null |
		sed -n 's/^  \(-[a-z], \)\{0,1\}\(--[a-z0-9-]*.*\)/\2/p'
}

_dmatrack_options() {
	_dmatrack_lines "$1" "$2" | sed 's/^\(--[a-z0-9-]*\).*/\1/' | sort -u
}

# Name of an option's argument: DIR, FILE, ADDRESS, N ...; nothing for a flag
_dmatrack_argument() {	# DMATRACK COMMAND OPTION
	_dmatrack_lines "$1" "$2" | sed -n "s/^$3 \([A-Z]\{1,\}\).*/\1/p" |
		sort -u | head -n 1
}

_dmatrack_devices() {
	local path
	for path in /sys/bus/pci/drivers/vfio-pci/*:*:*.* \
			/sys/bus/mdev/devices/*; do
		[ -e "$path" ] && echo "${path##*/}"
	done
}

# The values that an argument of this name can have
_dmatrack_values() {	# OPTION ARGUMENT
	case $1:$2 in
	--device:*)	_dmatrack_devices ;;
	*:FILE | *:IMAGE)	compgen -f -- "$cur" ;;
	*:DIR)		compgen -d -- "$cur" ;;
	*:PID)		compgen -W "$(cd /proc && echo [0-9]*)" -- "$cur" ;;
	esac
}

_dmatrack() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	local program=${COMP_WORDS[0]} command=${COMP_WORDS[1]} argument
	COMPREPLY=()
	if [ "$COMP_CWORD" = 1 ] ||
	   { [ "$COMP_CWORD" = 2 ] && [ "$command" = help ]; }; then
		mapfile -t COMPREPLY < <(compgen -W \
			"$(_dmatrack_commands "$program") --help --version" \
			-- "$cur")
		return
	fi
	case $prev in
	--*)	argument=$(_dmatrack_argument "$program" "$command" "$prev") ;;
	*)	argument= ;;
	esac
	if [ -n "$argument" ]; then
		mapfile -t COMPREPLY < <(compgen -W \
			"$(_dmatrack_values "$prev" "$argument")" -- "$cur")
		return
	fi
	case $cur in
	-*)	mapfile -t COMPREPLY < <(compgen -W \
			"$(_dmatrack_options "$program" "$command")" -- "$cur") ;;
	*)	mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
	esac
}

complete -o filenames -F _dmatrack dmatrack
