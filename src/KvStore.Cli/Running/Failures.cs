using System.Net.Sockets;
using Grpc.Core;
using KvStore.Client;

namespace KvStore.Cli.Running;

/// <summary>The one place where an exception becomes a sentence and an exit code.</summary>
internal static class Failures
{
    public static CliFailure Explain(Exception exception) => exception switch
    {
        CliFailure failure => failure,
        KvException refusal => Explain(refusal),
        RpcException rpc => Explain(rpc),
        UnauthorizedAccessException or IOException or SocketException => new(ExitCode.NoInput, Sentence(exception.Message)),
        OperationCanceledException => new(ExitCode.Unknown, "The time ran out before an answer came, so the outcome is unknown; ask for the state before trying again."),
        _ => new(ExitCode.Internal, $"Internal error: {OneLine(exception.Message)} Run it again with KV_DEBUG=1 to see where, and report it."),
    };

    /// <summary>The code for an operation that the client gave up; its message already says why and what to do.</summary>
    public static ExitCode CodeOf(KvException refusal) => refusal switch
    {
        { OutcomeUnknown: true } => ExitCode.Unknown,
        { Code: KvCode.Unavailable } => ExitCode.Unavailable,
        { Code: KvCode.DeadlineExceeded, Phase: KvPhase.Connecting or KvPhase.Queued } => ExitCode.Unavailable,
        { Code: KvCode.ConditionFailed } => ExitCode.ConditionFailed,

        // The words are well formed, and the cluster is not in the state for them.
        { InnerException: RpcException { StatusCode: StatusCode.FailedPrecondition } } => ExitCode.Refused,
        { Code: KvCode.InvalidArgument or KvCode.TooLarge or KvCode.RequestReused } => ExitCode.Usage,
        _ => ExitCode.Refused,
    };

    private static CliFailure Explain(KvException refusal) => refusal.Code == KvCode.UnknownKeyspace
        ? new(ExitCode.Refused, Sentence(refusal.Message) + " 'kv keyspace list' shows the existing ones, 'kv keyspace create' makes one.")
        : new(CodeOf(refusal), Sentence(refusal.Message));

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
