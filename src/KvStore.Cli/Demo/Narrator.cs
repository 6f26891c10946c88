using KvStore.Cli.Running;
using Spectre.Console;

namespace KvStore.Cli.Demo;

/// <summary>Tells what happens, step by step: with colours on a terminal, as plain lines otherwise. Each line appears when it happens.</summary>
internal sealed class Narrator
{
    private readonly TextWriter _out;
    private readonly IAnsiConsole? _console;
    private int _step;

    public Narrator(Terminal terminal, bool plain)
    {
        _out = terminal.Out;
        _console = plain || !terminal.IsInteractive ? null : AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(terminal.Out) });
    }

    /// <summary>Begins a chapter.</summary>
    public void Step(string title)
    {
        _step++;
        Write("", Style.Plain);
        Write($"{_step}. {title}", new Style(Color.Aqua, decoration: Decoration.Bold));
    }

    /// <summary>Says something that needs no judgement.</summary>
    public void Say(string text) => Write("   " + text, Style.Plain);

    /// <summary>Says something that went as it should.</summary>
    public void Good(string text) => Write("   " + text, new Style(Color.Green));

    /// <summary>Says something that was refused, as it should be, or that shows a conflict.</summary>
    public void Notice(string text) => Write("   " + text, new Style(Color.Yellow));

    /// <summary>A line of the verdict. It begins at the margin, so that scripts find it.</summary>
    public void Verdict(string text, bool holds) => Write(text, new Style(holds ? Color.Green : Color.Red, decoration: Decoration.Bold));

    private void Write(string text, Style style)
    {
        if (_console is null)
        {
            _out.WriteLine(text);
        }
        else
        {
            _console.Write(new Text(text + "\n", style));
        }

        _out.Flush();
    }
}
