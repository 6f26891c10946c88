using System.CommandLine;
using System.CommandLine.Completions;
using KvStore.Cli.Output;
using KvStore.Cli.Running;

namespace KvStore.Cli.Contexts;

/// <summary><c>kv context set|use|clear|list|show|remove</c>.</summary>
internal static class ContextCommands
{
    private const string SetExamples =
        """
        kv context set prod -e kv1.example.com:7001 -e kv2.example.com:7001
        kv context set prod -e kv1.example.com:7001 -k orders       commands that name no keyspace mean this one
        """;

    private const string UseExamples =
        """
        kv context use prod
        kv --cluster prod get hello       this one command only
        """;

    public static Command Create(CommandHost host) => new("context", "Clusters under names: save them, choose one.")
    {
        Set(host),
        Use(host),
        Clear(host),
        List(host),
        Show(host),
        Remove(host),
    };

    private static Command Set(CommandHost host)
    {
        var name = NameArgument(host);
        var keyspace = new Option<string?>("--keyspace", "-k") { Description = "The keyspace that is meant where none is named.", HelpName = "NAME" };
        var command = new Command("set", "Save the addresses given with --endpoint under a name; an existing one is replaced.") { name, keyspace };
        return host.Add(command, SetExamples, context =>
        {
            var wanted = context.Value(name)!;
            if (!SavedContext.IsName(wanted))
            {
                throw CliFailure.Usage($"'{wanted}' can't be the name of a context; use 1 to {SavedContext.MaxNameLength} letters, digits, '-', '_' or '.'.");
            }

            if (!context.EndpointsWereGiven)
            {
                throw CliFailure.Usage("Where is the cluster? Give its addresses with --endpoint, once for each node.");
            }

            var saved = new SavedContext(wanted, [.. context.Endpoints.Select(endpoint => endpoint.ToString().TrimEnd('/'))], context.Value(keyspace));
            if (saved.Keyspace is { } space)
            {
                // Says at once what every later command would say.
                context.Keyspace(space);
            }

            ContextFile.Load(context.Terminal).With(saved).Save(context.Terminal);
            context.Note($"Saved. 'kv context use {wanted}' chooses it.");
            return Task.FromResult(ExitCode.Ok);
        });
    }

    private static Command Use(CommandHost host)
    {
        var name = NameArgument(host);
        var command = new Command("use", "Choose the cluster for commands that name no endpoint. Exit code 2: there is no such context.") { name };
        return host.Add(command, UseExamples, context =>
        {
            var file = ContextFile.Load(context.Terminal);
            (file with { Current = file.Get(context.Value(name)!).Name }).Save(context.Terminal);
            return Task.FromResult(ExitCode.Ok);
        });
    }

    private static Command Clear(CommandHost host) =>
        host.Add(new Command("clear", "Choose none: the cluster started by 'kv up' in this directory is meant again."), "kv context clear", context =>
        {
            (ContextFile.Load(context.Terminal) with { Current = null }).Save(context.Terminal);
            return Task.FromResult(ExitCode.Ok);
        });

    private static Command List(CommandHost host)
    {
        var format = OutputFormatOption.Create();
        return host.Add(new Command("list", "List the saved contexts; '*' marks the chosen one.") { format }, "kv context list", context =>
        {
            var file = ContextFile.Load(context.Terminal);
            Show(context, context.Value(format), file, file.Contexts);
            return Task.FromResult(ExitCode.Ok);
        });
    }

    private static Command Show(CommandHost host)
    {
        var name = NameArgument(host);
        name.Arity = ArgumentArity.ZeroOrOne;
        var format = OutputFormatOption.Create();
        var command = new Command("show", "Show one context, or the chosen one. Exit code 2: there is none.") { name, format };
        return host.Add(command, "kv context show\nkv context show prod -o json", context =>
        {
            var file = ContextFile.Load(context.Terminal);
            var wanted = context.Value(name) ?? file.Current ?? throw new CliFailure(ExitCode.NotFound, "No context is chosen; 'kv context use NAME' chooses one.");
            Show(context, context.Value(format), file, [file.Get(wanted)]);
            return Task.FromResult(ExitCode.Ok);
        });
    }

    private static Command Remove(CommandHost host)
    {
        var name = NameArgument(host);
        var command = new Command("remove", "Forget a context. Exit code 2: there is none of this name.") { name };
        return host.Add(command, "kv context remove prod", context =>
        {
            var file = ContextFile.Load(context.Terminal);
            file.Without(file.Get(context.Value(name)!).Name).Save(context.Terminal);
            return Task.FromResult(ExitCode.Ok);
        });
    }

    private static Argument<string?> NameArgument(CommandHost host)
    {
        var name = new Argument<string?>("NAME") { Description = "The context." };
        name.CompletionSources.Add(_ => Names(host.Terminal).Select(each => new CompletionItem(each)));
        return name;
    }

    private static IEnumerable<string> Names(Terminal terminal)
    {
        try
        {
            return ContextFile.Load(terminal).Contexts.Select(context => context.Name);
        }
        catch (CliFailure)
        {
            // Whoever presses Tab wants no errors; the command will say it.
            return [];
        }
    }

    private static void Show(CommandContext context, OutputFormat format, ContextFile file, IReadOnlyList<SavedContext> shown)
    {
        if (format == OutputFormat.Json)
        {
            JsonOutput.Write(context.Terminal.Out, json =>
            {
                json.WriteStartArray();
                foreach (var saved in shown)
                {
                    json.WriteStartObject();
                    json.WriteString("name", saved.Name);
                    json.WriteBoolean("current", saved.Name == file.Current);
                    json.WriteStartArray("endpoints");
                    foreach (var endpoint in saved.Endpoints)
                    {
                        json.WriteStringValue(endpoint);
                    }

                    json.WriteEndArray();
                    json.WriteString("keyspace", saved.Keyspace);
                    json.WriteEndObject();
                }

                json.WriteEndArray();
            });
            return;
        }

        var table = new TextTable("", "NAME", "ENDPOINTS", "KEYSPACE");
        foreach (var saved in shown)
        {
            table.Add(saved.Name == file.Current ? "*" : "", saved.Name, string.Join(',', saved.Endpoints), saved.Keyspace ?? "");
        }

        if (format == OutputFormat.Raw)
        {
            table.WriteRaw(context.Terminal.Out);
        }
        else
        {
            context.Write(table);
        }
    }
}
