using System.CommandLine;
using KvStore.Cli.Data;
using KvStore.Cli.Output;
using KvStore.Cli.Running;
using KvStore.Client;
using KvStore.Contracts;

namespace KvStore.Cli.Resolution;

/// <summary><c>kv conflict list|show|resolve</c>: keys of ap keyspaces that were written concurrently, and the decision between their values.</summary>
internal static class ConflictCommands
{
    private const int DefaultLimit = 100;

    private const string ListExamples =
        """
        kv conflict list -k carts
        kv conflict list -k carts --prefix user/ -o raw | cut -f1
        """;

    private const string ShowExamples =
        """
        kv conflict show cart/7 -k carts
        kv conflict show cart/7 -k carts -o json
        """;

    private const string ResolveExamples =
        """
        kv conflict resolve cart/7 --pick 2 -k carts
        kv conflict resolve cart/7 "tea, milk" -k carts
        kv conflict resolve cart/7 --pick 5f0c2ab1d2e3f405/17 --context 0102ab -k carts     exactly what 'show' showed
        """;

    public static Command Create(CommandHost host) => new("conflict", "Find and settle keys that have several values after concurrent writes (ap).")
    {
        List(host),
        Show(host),
        Resolve(host),
    };

    private static Command List(CommandHost host)
    {
        var keyspace = DataOptions.Keyspace();
        var prefix = new Option<string?>("--prefix") { Description = "Only keys that begin with this.", HelpName = "TEXT" };
        var after = new Option<string?>("--after") { Description = "Only keys behind this one: where the last list ended.", HelpName = "KEY" };
        var limit = new Option<int>("--limit")
        {
            Description = "At most this many keys, 1 to 1,000,000.",
            HelpName = "N",
            DefaultValueFactory = _ => DefaultLimit,
            CustomParser = result => Quantities.ParseCount(result, 1, 1_000_000),
        };
        var format = OutputFormatOption.Create();
        var command = new Command("list", "List the keys that have more than one value, in key order over all shards. The nodes keep a list of them: no other key is looked at.") { keyspace, prefix, after, limit, format };
        return host.Add(command, ListExamples, async context =>
        {
            var range = ScanCommand.Range(context.Value(prefix), context.Value(after));
            var space = DataOptions.KeyspaceOf(context, keyspace);
            var most = context.Value(limit);
            var conflicts = new List<KvConflict>();
            var options = new KvScanOptions { PageSize = Math.Min(most + 1, KvLimits.MaxScanRecords) };
            await foreach (var conflict in space.ConflictsAsync(range, options, context.Stop))
            {
                conflicts.Add(conflict);
                if (conflicts.Count > most)
                {
                    break;
                }
            }

            var more = conflicts.Count > most;
            ConflictOutput.ShowList(context, context.Value(format), more ? conflicts[..most] : conflicts);
            if (more)
            {
                context.Note($"note: there are more; go on with --after '{conflicts[most - 1].Key}', or raise --limit.");
            }

            return ExitCode.Ok;
        });
    }

    private static Command Show(CommandHost host)
    {
        var key = DataOptions.KeyArgument();
        var keyspace = DataOptions.Keyspace();
        var format = OutputFormatOption.Create();
        var command = new Command("show", "Show all values of a key, with when and by which replica each was written, and the version that stands for all of them. Exit code 2: it has none.") { key, keyspace, format };
        return host.Add(command, ShowExamples, async context =>
        {
            var entry = await ReadAsync(context, DataOptions.KeyspaceOf(context, keyspace), DataOptions.Key(context.Value(key)));
            ConflictOutput.ShowOne(context, context.Value(format), entry);
            return ExitCode.Ok;
        });
    }

    private static Command Resolve(CommandHost host)
    {
        var key = DataOptions.KeyArgument();
        var value = new ValueSource();
        var pick = new Option<string?>("--pick") { Description = "Keep one of the values: its number in 'kv conflict show', or its writer, which never changes.", HelpName = "N|WRITER" };
        var seen = DataOptions.Context();
        var keyspace = DataOptions.Keyspace();
        var format = OutputFormatOption.Create();
        var command = new Command(
            "resolve",
            "Settle a key: keep one of its values, or set a new one, in the place of exactly what was seen. What is written meanwhile stays beside it. Without --context the values are read anew first.")
        {
            key, value.Value, value.File, pick, seen, keyspace, format,
        };
        return host.Add(command, ResolveExamples, async context =>
        {
            var named = DataOptions.Key(context.Value(key));
            KvVersion? version = context.Value(seen) is { } text ? DataOptions.Version(text, "--context") : null;
            var picked = context.Value(pick);
            if (picked is not null && (context.Value(value.Value) is not null || context.Value(value.File) is not null))
            {
                throw CliFailure.Usage("--pick and a new value contradict each other; give one of them.");
            }

            var space = DataOptions.KeyspaceOf(context, keyspace);
            var bytes = picked is null ? await value.ReadAsync(context) : default;
            if (picked is not null || version is null)
            {
                var entry = await ReadAsync(context, space, named);
                bytes = picked is null ? bytes : Pick(entry, picked, version is not null);
                version ??= entry.Version;
            }

            var result = await space.PutInContextAsync(named, bytes, version.Value, null, context.StopChanging);
            return WriteResultOutput.Show(context, context.Value(format), named, result);
        });
    }

    private static async Task<KvEntry<ReadOnlyMemory<byte>>> ReadAsync(CommandContext context, IKvKeyspace space, KvKey key) =>
        await space.GetAsync<ReadOnlyMemory<byte>>(key, null, context.Stop)
            ?? throw new CliFailure(ExitCode.NotFound, $"'{ByteText.ForPeople(key.Bytes.Span)}' has no value in keyspace {space.Name}.");

    /// <summary>A number counts in the order of 'show' and so may mean another value after a write; with a version given only the writer will do.</summary>
    private static ReadOnlyMemory<byte> Pick(KvEntry<ReadOnlyMemory<byte>> entry, string picked, bool byWriterOnly)
    {
        if (entry.Siblings.Count == 0)
        {
            throw new CliFailure(ExitCode.Failed, "The key has one value: there is nothing to resolve.");
        }

        if (int.TryParse(picked, out var number))
        {
            return byWriterOnly ? throw CliFailure.Usage("With --context, name the value by its writer: numbers may have moved since it was shown.")
                : number >= 1 && number <= entry.Siblings.Count ? entry.Siblings[number - 1].Value
                : throw CliFailure.Usage($"There is no value {number}: the key has {entry.Siblings.Count}; 'kv conflict show' lists them.");
        }

        foreach (var sibling in entry.Siblings)
        {
            if (sibling.Writer == picked)
            {
                return sibling.Value;
            }
        }

        throw new CliFailure(ExitCode.NotFound, $"No value of the key was written by {picked}, or it was superseded meanwhile; 'kv conflict show' lists those there are.");
    }
}
