using System.Text;
using KvStore.Cli;
using KvStore.Cli.Running;
using KvStore.Client;
using Xunit;

namespace KvStore.Cluster.Tests.Cli;

/// <summary>What a command line printed and how it ended.</summary>
internal sealed record KvRun(ExitCode Code, string Out, string Error, byte[] RawOut)
{
    /// <summary>Runs kv in this process, as if in a pipe, with an environment of its own.</summary>
    public static async Task<KvRun> Of(string[] arguments, byte[]? input = null, Dictionary<string, string>? environment = null)
    {
        using var output = new StringWriter();
        using var error = new StringWriter();
        using var raw = new MemoryStream();
        var terminal = new Terminal
        {
            Out = output,
            Error = error,
            RawOut = raw,
            In = new MemoryStream(input ?? []),
            IsInteractive = false,
            Environment = name => environment?.GetValueOrDefault(name),
            Connect = options => KvClient.Create(options),
        };
        var code = await KvCommandLine.RunAsync(arguments, terminal, TestContext.Current.CancellationToken);
        return new KvRun((ExitCode)code, output.ToString(), error.ToString(), raw.ToArray());
    }

    public static Task<KvRun> Of(params string[] arguments) => Of(arguments, input: null);

    /// <summary>Standard output as a person sees it: text and raw bytes.</summary>
    public string Shown => Out + Encoding.UTF8.GetString(RawOut);
}
