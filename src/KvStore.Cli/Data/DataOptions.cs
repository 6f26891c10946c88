using System.CommandLine;
using System.Text;
using KvStore.Cli.Running;
using KvStore.Client;
using KvStore.Contracts;

namespace KvStore.Cli.Data;

/// <summary>What the commands on single keys have in common: keys, keyspaces, versions, read levels.</summary>
internal static class DataOptions
{
    public const string KeyspaceVariable = "KV_KEYSPACE";

    public static Option<string?> Keyspace() => new("--keyspace", "-k")
    {
        Description = $"The keyspace. Default: ${KeyspaceVariable}, else the context's.",
        HelpName = "NAME",
    };

    public static Argument<string> KeyArgument() => new("KEY") { Description = $"The key: text of 1 to {KvLimits.MaxKeyBytes:N0} bytes." };

    public static Option<KvReadLevel> Level() => new("--level")
    {
        Description = "linearizable: sees every acknowledged write (cp); session: sees what --session has seen; bounded: no older than --max-staleness; eventual: from the nearest replica, as it stands; "
            + "quorum: merges a majority (ap). Default: linearizable in cp, eventual in ap keyspaces.",
        HelpName = "linearizable|session|bounded|eventual|quorum",
        CustomParser = result =>
        {
            var text = result.Tokens.Count == 1 ? result.Tokens[0].Value : "";
            switch (text)
            {
                case "linearizable":
                    return KvReadLevel.Linearizable;
                case "eventual":
                    return KvReadLevel.Eventual;
                case "quorum":
                    return KvReadLevel.Quorum;
                case "session":
                    return KvReadLevel.Session;
                case "bounded":
                    return KvReadLevel.Bounded;
                default:
                    result.AddError($"'{text}' is not a read level; use linearizable, session, bounded, eventual or quorum.");
                    return KvReadLevel.Default;
            }
        },
    };

    public static Option<string?> Require() => new("--require")
    {
        Description = "Refuse rather than answer provisionally (adaptive).",
        HelpName = "strong",
        CustomParser = result =>
        {
            if (result.Tokens.Count != 1 || result.Tokens[0].Value != "strong")
            {
                result.AddError("What can be required is 'strong'.");
            }

            return "strong";
        },
    };

    public static Option<string?> Context() => new("--context")
    {
        Description = "Replace what this version saw and nothing else (ap); versions are shown by get -o json.",
        HelpName = "VERSION",
    };

    public static Option<string?> IfVersion() => new("--if-version")
    {
        Description = "Only if the key's version is exactly this one (cp).",
        HelpName = "VERSION",
    };

    /// <summary>A time to live; <see cref="Timeout.InfiniteTimeSpan"/>: never.</summary>
    public static Option<TimeSpan> Ttl(string description) => new("--ttl")
    {
        Description = description,
        HelpName = "TIME|never",
        CustomParser = result => result.Tokens is [{ Value: "never" }] ? Timeout.InfiniteTimeSpan : Quantities.ParseTime(result, TimeSpan.FromMilliseconds(1), MaxTtl),
    };

    /// <summary>10 years.</summary>
    public static readonly TimeSpan MaxTtl = TimeSpan.FromMilliseconds(KvLimits.MaxTtlMs);

    /// <exception cref="CliFailure">No keyspace was named.</exception>
    public static IKvKeyspace KeyspaceOf(CommandContext context, Option<string?> option)
    {
        var name = context.Value(option) ?? context.Terminal.Environment(KeyspaceVariable) ?? context.SavedContext?.Keyspace;
        return string.IsNullOrEmpty(name)
            ? throw CliFailure.Usage($"No keyspace is named; give one with -k NAME, ${KeyspaceVariable} or a context ('kv keyspace list' shows them).")
            : context.Keyspace(name);
    }

    /// <exception cref="CliFailure">It can't be a key.</exception>
    public static KvKey Key(string? text)
    {
        var bytes = Encoding.UTF8.GetBytes(text ?? "");
        return bytes.Length switch
        {
            0 => throw CliFailure.Usage("The key is empty; a key has at least one byte."),
            > KvLimits.MaxKeyBytes => throw CliFailure.Usage($"The key has {bytes.Length:N0} bytes; a key has at most {KvLimits.MaxKeyBytes:N0}."),
            _ => new KvKey(bytes),
        };
    }

    /// <exception cref="CliFailure">It can't be a version.</exception>
    public static KvVersion Version(string text, string source)
    {
        try
        {
            var version = KvVersion.Parse(text);
            return version.IsAbsent ? throw CliFailure.Usage($"The version of {source} is empty; for a key without a value use 'kv put --if-absent'.") : version;
        }
        catch (Exception exception) when (exception is FormatException or ArgumentException)
        {
            throw CliFailure.Usage($"'{text}' ({source}) is not a version; copy the one that 'kv get -o json' shows.");
        }
    }

    /// <exception cref="CliFailure">More than one of them is given.</exception>
    public static void AtMostOne(CommandContext context, params Option[] options)
    {
        var given = options.Where(context.WasGiven).Select(option => option.Name).ToArray();
        if (given.Length > 1)
        {
            throw CliFailure.Usage($"{string.Join(" and ", given)} contradict each other; give one of them.");
        }
    }
}
