using System.CommandLine;
using KvStore.Cli.Running;
using KvStore.Client;
using KvStore.Contracts;

namespace KvStore.Cli.Data;

/// <summary>What makes a command one of a session, or bounds the age of its answer.</summary>
internal static class SessionOptions
{
    private const string NewSession = "new";

    public static Option<string?> Session() => new("--session")
    {
        Description = "The session to go on with: its reads see what it has written and read, on whichever node. 'new' begins one. The command shows the token for the next one on stderr.",
        HelpName = "TOKEN",
    };

    public static Option<TimeSpan> MaxStaleness() => new("--max-staleness")
    {
        Description = "With level bounded: how old the answer may be, such as 500ms or 2s.",
        HelpName = "TIME",
        CustomParser = result => Quantities.ParseTime(result, TimeSpan.FromMilliseconds(1), TimeSpan.FromMilliseconds(KvLimits.MaxStalenessMs)),
    };

    /// <summary>The session of a command; null: it belongs to none.</summary>
    /// <exception cref="CliFailure">The text is no token.</exception>
    public static KvSession? Open(CommandContext context, Option<string?> option)
    {
        if (context.Value(option) is not { } token)
        {
            return null;
        }

        try
        {
            return context.Client.CreateSession(token == NewSession ? null : token);
        }
        catch (ArgumentException)
        {
            throw CliFailure.Usage("The text after --session is no token; give the one that the last command of the session showed, or 'new'.");
        }
    }

    /// <summary>How a read is to be done.</summary>
    /// <exception cref="CliFailure">The options contradict each other.</exception>
    public static KvReadOptions Read(CommandContext context, KvReadLevel level, KvSession? session, Option<TimeSpan> maxStaleness)
    {
        var bound = context.WasGiven(maxStaleness) ? context.Value(maxStaleness) : (TimeSpan?)null;
        if (level == KvReadLevel.Session && session is null)
        {
            throw CliFailure.Usage("Level session needs a session; add --session TOKEN, or --session new.");
        }

        if (level == KvReadLevel.Bounded && bound is null)
        {
            throw CliFailure.Usage("Level bounded needs a bound; add --max-staleness TIME, such as 2s.");
        }

        if (bound is not null && level is not (KvReadLevel.Bounded or KvReadLevel.Default))
        {
            throw CliFailure.Usage("--max-staleness is for level bounded.");
        }

        return new KvReadOptions { Level = level, Session = session, MaxStaleness = bound };
    }

    /// <summary>Shows what to go on with.</summary>
    public static void Tell(CommandContext context, KvSession? session)
    {
        if (session is not null)
        {
            context.Note($"session: {session.Token}");
        }
    }
}
