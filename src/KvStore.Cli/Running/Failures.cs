using System.Net.Sockets;
using Grpc.Core;

namespace KvStore.Cli.Running;

/// <summary>The one place where an exception becomes a sentence and an exit code.</summary>
internal static class Failures
{
    public static CliFailure Explain(Exception exception) => exception switch
    {
        CliFailure failure => failure,
        RpcException rpc => Explain(rpc),
        UnauthorizedAccessException or IOException or SocketException => new(ExitCode.NoInput, Sentence(exception.Message)),
        OperationCanceledException => new(ExitCode.Unknown, "The time ran out before an answer came, so the outcome is unknown; ask for the state before trying again."),
        _ => new(ExitCode.Internal, $"Internal error: {OneLine(exception.Message)} Run it again with KV_DEBUG=1 to see where, and report it."),
    };

    private static CliFailure Explain(RpcException rpc) => rpc.StatusCode switch
    {
        StatusCode.Unimplemented => new(ExitCode.Refused, "The node answers, but does not know this call; check that the endpoint is a KvStore node of this version."),
        StatusCode.FailedPrecondition or StatusCode.ResourceExhausted or StatusCode.Aborted => new(ExitCode.Refused, Sentence(rpc.Status.Detail)),
        StatusCode.InvalidArgument => new(ExitCode.Usage, Sentence(rpc.Status.Detail)),
        StatusCode.NotFound => new(ExitCode.NotFound, Sentence(rpc.Status.Detail)),
        StatusCode.DeadlineExceeded => new(ExitCode.Unknown, "The time ran out before an answer came, so the outcome is unknown; ask for the state, or give it longer with --timeout."),
        _ => new(ExitCode.Unavailable, Sentence(rpc.Status.Detail)),
    };

    /// <summary>A message of elsewhere as one line that ends like a sentence.</summary>
    public static string Sentence(string message)
    {
        var line = OneLine(message);
        return line.EndsWith('.') || line.EndsWith('?') || line.EndsWith('!') ? line : line + ".";
    }

    private static string OneLine(string message) => string.Join(' ', message.Split((char[])['\r', '\n'], StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries));
}
