using System.Text.Json;
using KvStore.Cli.Data;
using KvStore.Cli.Output;
using KvStore.Cli.Running;
using KvStore.Client;

namespace KvStore.Cli.Transactions;

/// <summary>Shows what became of a transaction, and picks the exit code.</summary>
internal static class TransactionOutput
{
    public static ExitCode Show(CommandContext context, OutputFormat format, KvTxnResult result)
    {
        switch (format)
        {
            case OutputFormat.Json:
                JsonOutput.Write(context.Terminal.Out, json => WriteJson(json, result));
                break;
            case OutputFormat.Raw:
                WriteFields(context, result);
                break;
            default:
                WriteLines(context, result);
                break;
        }

        if (result.IsDone)
        {
            return result.Succeeded ? ExitCode.Ok : ExitCode.ConditionFailed;
        }

        context.Complain(Failures.Sentence($"The outcome is unknown ({result.Reason ?? result.Code.ToString()}): the transaction may have been done; read its keys before trying again"));
        return ExitCode.Unknown;
    }

    private static string Name(KvTxnBranchKind branch) => branch switch
    {
        KvTxnBranchKind.Then => "then",
        KvTxnBranchKind.Else => "else",
        _ => "",
    };

    private static string Name(KvTxnOperationKind kind) => kind switch
    {
        KvTxnOperationKind.Get => "get",
        KvTxnOperationKind.Put => "put",
        _ => "delete",
    };

    private static void WriteLines(CommandContext context, KvTxnResult result)
    {
        if (!result.IsDone)
        {
            return;
        }

        context.Line(result.Succeeded ? "then: the comparisons held" : "else: the comparisons did not hold");
        foreach (var operation in result.Results)
        {
            var key = ByteText.ForPeople(operation.Key.Bytes.Span);
            context.Line(operation switch
            {
                { Kind: KvTxnOperationKind.Put } => $"put     {key}, version {operation.Version}",
                { Kind: KvTxnOperationKind.Delete } => $"delete  {key}",
                { Found: false } => $"get     {key}: no value",
                _ => $"get     {key}: {ByteText.ForPeople(operation.Value.Span)}, version {operation.Version}",
            });
        }
    }

    private static void WriteFields(CommandContext context, KvTxnResult result)
    {
        foreach (var operation in result.Results)
        {
            var value = operation.Found ? ByteText.AsText(operation.Value.Span) ?? "0x" + Convert.ToHexStringLower(operation.Value.Span) : "";
            context.Line(string.Join('\t', Name(result.Branch), Name(operation.Kind), ByteText.ForPeople(operation.Key.Bytes.Span, int.MaxValue), operation.Version.ToString(), value));
        }
    }

    private static void WriteJson(Utf8JsonWriter json, KvTxnResult result)
    {
        json.WriteStartObject();
        json.WriteString("outcome", result.IsDone ? "done" : "unknown");
        json.WriteString("branch", Name(result.Branch));
        json.WriteStartArray("results");
        foreach (var operation in result.Results)
        {
            json.WriteStartObject();
            ByteText.WriteJson(json, Name(operation.Kind), operation.Key.Bytes.Span);
            if (operation.Kind == KvTxnOperationKind.Get)
            {
                json.WriteBoolean("found", operation.Found);
                if (operation.Found)
                {
                    ByteText.WriteJson(json, "value", operation.Value.Span);
                }
            }

            if (!operation.Version.IsAbsent)
            {
                json.WriteString("version", operation.Version.ToString());
            }

            if (operation.SiblingCount > 1)
            {
                json.WriteNumber("siblingCount", operation.SiblingCount);
            }

            if (operation.ExpiresIn is { } expiresIn)
            {
                json.WriteNumber("expiresInMs", (long)expiresIn.TotalMilliseconds);
            }

            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteNumber("acknowledgements", result.Acknowledgements);
        json.WriteString("regime", ReadOutput.Name(result.Regime));
        json.WriteNumber("epoch", result.Epoch);
        json.WriteNumber("node", result.Node);
        if (!result.IsDone)
        {
            json.WriteString("code", result.Code.ToString());
            json.WriteString("reason", result.Reason);
        }

        json.WriteEndObject();
    }
}
