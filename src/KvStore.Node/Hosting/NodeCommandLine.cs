using System.Text;

namespace KvStore.Node.Hosting;

/// <summary>
/// Options from flags and from variables; a flag wins over its variable. What is malformed or unknown is collected, so that an operator sees all of it at once.
/// </summary>
public static class NodeCommandLine
{
    private const string Prefix = "KV_";

    /// <summary>Flags as in <see cref="Help"/>: <c>--name value</c> or <c>--name=value</c>.</summary>
    /// <param name="arguments">Without the program's name and verb.</param>
    /// <param name="variables">The environment; names that belong to no flag are ignored, because others use the prefix too (a Kubernetes service named "kv", the command line client).</param>
    /// <exception cref="InvalidOptionsException">Something is malformed or unknown. The options' meaning is not checked here: that is <see cref="NodeOptionsValidation"/>'s.</exception>
    public static NodeOptions Parse(IReadOnlyList<string> arguments, IReadOnlyDictionary<string, string> variables)
    {
        List<string> problems = [];
        Dictionary<NodeFlag, List<string>> given = Given(arguments, problems);
        NodeOptions options = new();
        foreach (NodeFlag flag in NodeFlag.All)
        {
            if (given.TryGetValue(flag, out List<string>? values))
            {
                options = values.Aggregate(options, (before, value) => Apply(flag, before, value, $"--{flag.Name}", problems));
            }
            else if (variables.TryGetValue(flag.Variable, out string? value) && value.Length > 0)
            {
                string[] parts = flag.Repeats ? value.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries) : [value];
                options = parts.Aggregate(options, (before, part) => Apply(flag, before, part, flag.Variable, problems));
            }
        }

        return problems.Count == 0 ? options : throw new InvalidOptionsException(problems);
    }

    /// <summary>The environment's variables that concern a node.</summary>
    public static IReadOnlyDictionary<string, string> Environment()
    {
        Dictionary<string, string> variables = [];
        foreach (System.Collections.DictionaryEntry variable in System.Environment.GetEnvironmentVariables())
        {
            if (variable.Key is string name && name.StartsWith(Prefix, StringComparison.Ordinal) && variable.Value is string value)
            {
                variables[name] = value;
            }
        }

        return variables;
    }

    public static string Help()
    {
        StringBuilder text = new();
        text.AppendLine("A node of KvStore.");
        text.AppendLine();
        text.AppendLine("  KvStore.Node [flags]                                   run a node until SIGTERM or Ctrl+C");
        text.AppendLine("  KvStore.Node healthcheck --address HOST:PORT           exit 0 when the node there serves, else 1");
        text.AppendLine("  KvStore.Node --help | --version");
        text.AppendLine();
        text.AppendLine("Flags (each also as a variable: --node-id is KV_NODE_ID; several members: KV_MEMBER=1=a:7001,2=b:7001; flags win):");
        foreach (NodeFlag flag in NodeFlag.All)
        {
            text.AppendLine($"  {$"--{flag.Name} {flag.Value}",-34} {flag.Help}");
        }

        text.AppendLine();
        text.AppendLine("Exit codes: 0 stopped as asked, 64 bad usage, 65 unusable data directory or corrupt log, 69 can't listen, 70 defect, 74 disk failed, 75 data directory still in use, 77 removed from the cluster.");
        return text.ToString();
    }

    private static Dictionary<NodeFlag, List<string>> Given(IReadOnlyList<string> arguments, List<string> problems)
    {
        Dictionary<NodeFlag, List<string>> given = [];
        for (int i = 0; i < arguments.Count; i++)
        {
            string argument = arguments[i];
            int equals = argument.IndexOf('=');
            string name = equals < 0 ? argument : argument[..equals];
            if (!name.StartsWith("--", StringComparison.Ordinal))
            {
                problems.Add($"'{argument}' stands alone: flags begin with --, and each takes one value.");
                continue;
            }

            NodeFlag? flag = NodeFlag.All.FirstOrDefault(known => known.Name == name[2..]);
            if (flag is null)
            {
                problems.Add($"Unknown flag {name}{Suggestion(name[2..])}: see --help.");
                i += equals < 0 && i + 1 < arguments.Count && !arguments[i + 1].StartsWith("--", StringComparison.Ordinal) ? 1 : 0;
                continue;
            }

            string value = equals >= 0 ? argument[(equals + 1)..] : "";
            if (equals < 0 && !flag.IsSwitch)
            {
                if (i + 1 == arguments.Count || arguments[i + 1].StartsWith("--", StringComparison.Ordinal))
                {
                    problems.Add($"{name} needs a value: {name} {flag.Value}.");
                    continue;
                }

                value = arguments[++i];
            }

            if (given.TryGetValue(flag, out List<string>? values) && !flag.Repeats)
            {
                problems.Add($"{name} is given twice: keep one.");
                continue;
            }

            given[flag] = [.. values ?? [], value];
        }

        return given;
    }

    private static NodeOptions Apply(NodeFlag flag, NodeOptions options, string value, string source, List<string> problems)
    {
        try
        {
            if (value.Length == 0 && !flag.IsSwitch)
            {
                throw new FormatException("it is empty");
            }

            return flag.Apply(options, value);
        }
        catch (FormatException problem)
        {
            problems.Add($"{source} is '{value}': {problem.Message}.");
            return options;
        }
    }

    /// <summary>The flag that was probably meant: the nearest by edit distance, if near at all.</summary>
    private static string Suggestion(string name)
    {
        (NodeFlag Flag, int Distance) nearest = NodeFlag.All.Select(flag => (flag, Distance(name, flag.Name))).MinBy(candidate => candidate.Item2);
        return nearest.Distance <= 3 && nearest.Distance < name.Length ? $" (did you mean --{nearest.Flag.Name}?)" : "";
    }

    private static int Distance(string a, string b)
    {
        int[] row = [.. Enumerable.Range(0, b.Length + 1)];
        for (int i = 1; i <= a.Length; i++)
        {
            int diagonal = row[0];
            row[0] = i;
            for (int j = 1; j <= b.Length; j++)
            {
                int above = row[j];
                row[j] = Math.Min(Math.Min(above, row[j - 1]) + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1));
                diagonal = above;
            }
        }

        return row[b.Length];
    }
}
