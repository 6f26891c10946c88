using KvStore.Cli.Output;
using KvStore.Cli.Running;
using KvStore.Client;

namespace KvStore.Cli.Data;

/// <summary>Shows what became of a write, and picks the exit code.</summary>
internal static class WriteResultOutput
{
    public static ExitCode Show(CommandContext context, OutputFormat format, KvKey key, KvWriteResult result)
    {
        switch (format)
        {
            case OutputFormat.Json:
                WriteJson(context, key, result);
                break;
            case OutputFormat.Raw when result.IsDone:
                context.Line(result.Version.ToString());
                break;
            case OutputFormat.Table when result.IsDone:
                context.Line(Describe(result));
                break;
        }

        if (result.IsDone)
        {
            return ExitCode.Ok;
        }

        var code = result switch
        {
            { Outcome: KvOutcome.Unknown } => ExitCode.Unknown,
            { Code: KvCode.ConditionFailed } => ExitCode.ConditionFailed,
            _ => ExitCode.Refused,
        };
        context.Complain(Failures.Sentence(code switch
        {
            ExitCode.ConditionFailed => $"The condition did not hold for '{ByteText.ForPeople(key.Bytes.Span)}', nothing was written; read the key again and decide anew",
            ExitCode.Unknown => $"The outcome is unknown ({result.Reason ?? result.Code.ToString()}): the write may have happened; read the key before trying again",
            _ => result.Reason ?? $"Refused: {result.Code}",
        }));
        return code;
    }

    private static string Describe(KvWriteResult result)
    {
        var copies = result.Acknowledgements == 0 ? "" : $", on {result.Acknowledgements} replica{(result.Acknowledgements == 1 ? "" : "s")}";
        var degraded = result.Degraded ? " (fewer than the keyspace asks for)" : "";
        var version = result.Version.IsAbsent ? "" : $", version {result.Version}";
        return $"done{version}{copies}{degraded}{(result.Provisional ? ", provisional" : "")}";
    }

    private static void WriteJson(CommandContext context, KvKey key, KvWriteResult result) => JsonOutput.Write(context.Terminal.Out, json =>
    {
        json.WriteStartObject();
        ByteText.WriteJson(json, "key", key.Bytes.Span);
        json.WriteString("outcome", result.Outcome switch { KvOutcome.Done => "done", KvOutcome.NotDone => "not-done", _ => "unknown" });
        json.WriteString("version", result.Version.ToString());
        json.WriteNumber("acknowledgements", result.Acknowledgements);
        json.WriteBoolean("degraded", result.Degraded);
        json.WriteString("regime", ReadOutput.Name(result.Regime));
        json.WriteNumber("epoch", result.Epoch);
        json.WriteNumber("node", result.Node);
        if (!result.IsDone)
        {
            json.WriteString("code", result.Code.ToString());
            json.WriteString("reason", result.Reason);
        }

        json.WriteEndObject();
    });
}
