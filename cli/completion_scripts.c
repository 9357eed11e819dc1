/* completion_scripts.c - how bash, zsh and fish ask for candidates. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "completion.h"

#include <string.h>

/* bash breaks words at "=" too, and completes what stands behind it. */
static const char bash_script[] =
	"# cumulus for bash: source <(cumulus completion bash)\n"
	"_cumulus() {\n"
	"\tlocal word=${COMP_WORDS[COMP_CWORD]} candidate\n"
	"\tCOMPREPLY=()\n"
	"\t[ \"$word\" != = ] || word=\n"
	"\twhile IFS=$'\\t' read -r candidate _; do\n"
	"\t\tcase $candidate in\n"
	"\t\t:files)\n"
	"\t\t\tcompopt -o filenames 2>/dev/null\n"
	"\t\t\tmapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -f -- \"$word\") ;;\n"
	"\t\t:folders)\n"
	"\t\t\tcompopt -o filenames 2>/dev/null\n"
	"\t\t\tmapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -d -- \"$word\") ;;\n"
	"\t\t*,) COMPREPLY+=(\"$candidate\") && compopt -o nospace 2>/dev/null ;;\n"
	"\t\t?*) COMPREPLY+=(\"$candidate\") ;;\n"
	"\t\tesac\n"
	"\tdone < <(\"$1\" __complete -- \"${COMP_WORDS[@]:1:COMP_CWORD}\" 2>/dev/null)\n"
	"}\n"
	"complete -F _cumulus cumulus\n";

static const char zsh_script[] =
	"#compdef cumulus\n"
	"# cumulus for zsh: source <(cumulus completion zsh), or a file _cumulus in $fpath\n"
	"_cumulus() {\n"
	"\tlocal line candidate\n"
	"\tlocal -a candidates lines\n"
	"\tlines=(\"${(@f)$(\"${words[1]}\" __complete -- \"${(@)words[2,CURRENT]}\" 2>/dev/null)}\")\n"
	"\tfor line in \"${lines[@]}\"; do\n"
	"\t\tcandidate=${line%%$'\\t'*}\n"
	"\t\tcase $candidate in\n"
	"\t\t:files) _files ;;\n"
	"\t\t:folders) _files -/ ;;\n"
	"\t\t?*) candidates+=(\"${candidate//:/\\\\:}:${line#*$'\\t'}\") ;;\n"
	"\t\tesac\n"
	"\tdone\n"
	"\t(( ${#candidates} )) && _describe cumulus candidates\n"
	"}\n"
	"if [ \"$funcstack[1]\" = _cumulus ]; then\n"
	"\t_cumulus \"$@\"\n"
	"elif (( $+functions[compdef] )); then\n"
	"\tcompdef _cumulus cumulus\n"
	"fi\n";

static const char fish_script[] =
	"# cumulus for fish: cumulus completion fish | source\n"
	"function __cumulus_complete\n"
	"\tset -l words (commandline -opc)\n"
	"\tset -l word (commandline -ct)\n"
	"\tfor line in ($words[1] __complete -- $words[2..-1] \"$word\" 2>/dev/null)\n"
	"\t\tswitch $line\n"
	"\t\t\tcase :files\n"
	"\t\t\t\t__fish_complete_path $word\n"
	"\t\t\tcase :folders\n"
	"\t\t\t\t__fish_complete_directories $word\n"
	"\t\t\tcase '*'\n"
	"\t\t\t\techo $line\n"
	"\t\tend\n"
	"\tend\n"
	"end\n"
	"complete -c cumulus -f -a '(__cumulus_complete)'\n";

const char *completion_script(const char *shell)
{
	if (strcmp(shell, "bash") == 0)
		return bash_script;
	if (strcmp(shell, "zsh") == 0)
		return zsh_script;
	return strcmp(shell, "fish") == 0 ? fish_script : NULL;
}
