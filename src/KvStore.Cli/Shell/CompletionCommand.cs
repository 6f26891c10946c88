using System.CommandLine;
using KvStore.Cli.Running;

namespace KvStore.Cli.Shell;

/// <summary><c>kv completion</c>: a script for the user's shell, which asks kv itself for the words that may follow.</summary>
internal static class CompletionCommand
{
    private const string Examples =
        """
        source <(kv completion bash)                                   in ~/.bashrc
        source <(kv completion zsh)                                    in ~/.zshrc, after compinit
        kv completion fish > ~/.config/fish/completions/kv.fish
        kv completion pwsh | Out-String | Invoke-Expression            in $PROFILE
        """;

    private const string Bash =
        """
        _kv_complete() {
            local IFS=$'\n'
            COMPREPLY=($(compgen -W "$(kv "[suggest:${COMP_POINT}]" "${COMP_LINE}" 2>/dev/null)" -- "${COMP_WORDS[COMP_CWORD]}"))
        }
        complete -o default -F _kv_complete kv
        """;

    private const string Zsh =
        """
        _kv_complete() {
            local -a words_that_follow
            words_that_follow=("${(@f)$(kv "[suggest:${CURSOR}]" "${BUFFER}" 2>/dev/null)}")
            compadd -a words_that_follow
        }
        compdef _kv_complete kv
        """;

    private const string Fish =
        """
        complete -f -c kv -a '(kv "[suggest:"(commandline -C)"]" (commandline -b) 2>/dev/null)'
        """;

    private const string PowerShell =
        """
        Register-ArgumentCompleter -Native -CommandName kv -ScriptBlock {
            param($word, $line, $position)
            kv "[suggest:$position]" "$line" 2>$null | ForEach-Object { [System.Management.Automation.CompletionResult]::new($_, $_, 'ParameterValue', $_) }
        }
        """;

    public static Command Create(CommandHost host)
    {
        var shell = new Argument<string>("SHELL") { Description = "bash, zsh, fish or pwsh." };
        shell.CompletionSources.Add("bash", "zsh", "fish", "pwsh");
        var command = new Command("completion", "Print a script that lets the Tab key complete commands, options and names.") { shell };
        return host.Add(command, Examples, context =>
        {
            context.Line(context.Value(shell) switch
            {
                "bash" => Bash,
                "zsh" => Zsh,
                "fish" => Fish,
                "pwsh" => PowerShell,
                var other => throw CliFailure.Usage($"For '{other}' there is no script; choose bash, zsh, fish or pwsh."),
            });
            return Task.FromResult(ExitCode.Ok);
        });
    }
}
