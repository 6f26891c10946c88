using System.Text.Encodings.Web;
using System.Text.Json;

namespace KvStore.TestKit.Histories;

/// <summary>KvStore's own format; <see cref="HistoryFile"/> documents it.</summary>
internal static class JsonHistory
{
    private const string Format = "kvstore-history";
    private const int Version = 1;
    private static readonly JsonWriterOptions WriterOptions = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private static readonly (string Name, RecordedKind Kind)[] Kinds =
    [
        ("get", RecordedKind.Get),
        ("put", RecordedKind.Put),
        ("delete", RecordedKind.Delete),
        ("cas", RecordedKind.CompareAndSet),
        ("append", RecordedKind.Append),
    ];

    private static readonly (string Name, RecordedOutcome Outcome)[] Outcomes =
    [
        ("done", RecordedOutcome.Done),
        ("not-done", RecordedOutcome.NotDone),
        ("unknown", RecordedOutcome.Unknown),
        ("mismatched", RecordedOutcome.Mismatched),
    ];

    public static History Read(HistoryLines lines)
    {
        var model = Parse(lines, root => ReadHeader(lines, root));
        var operations = new List<RecordedOperation>();
        while (lines.MoveNext())
        {
            var operation = Parse(lines, root => ReadOperation(lines, root));
            if (History.Contradiction(operation, model) is { } contradiction)
            {
                throw lines.Problem(contradiction);
            }

            operations.Add(operation);
        }

        return new History(operations, model);
    }

    public static void Write(Stream stream, History history)
    {
        using var json = new Utf8JsonWriter(stream, WriterOptions);
        json.WriteStartObject();
        json.WriteString("format", Format);
        json.WriteNumber("version", Version);
        json.WriteString("model", history.Model.Name);
        json.WriteEndObject();
        EndLine(json, stream);
        foreach (var operation in history.Operations)
        {
            WriteOperation(json, operation);
            EndLine(json, stream);
        }
    }

    private static void EndLine(Utf8JsonWriter json, Stream stream)
    {
        json.Flush();
        json.Reset();
        stream.WriteByte((byte)'\n');
    }

    private static void WriteOperation(Utf8JsonWriter json, RecordedOperation operation)
    {
        json.WriteStartObject();
        json.WriteString("client", operation.Client);
        json.WriteString("key", operation.Key);
        json.WriteString("kind", Kinds.Single(pair => pair.Kind == operation.Kind).Name);
        if (operation.Expected is not null)
        {
            json.WriteString("expected", operation.Expected);
        }

        if (operation.Input is not null)
        {
            json.WriteString("input", operation.Input);
        }

        WriteValues(json, "context", operation.Context);
        WriteValues(json, "values", operation.Values.Count == 0 ? null : operation.Values);
        json.WriteString("outcome", Outcomes.Single(pair => pair.Outcome == operation.Outcome).Name);
        json.WriteNumber("invoke", operation.InvokeOrder);
        if (operation.ReturnOrder != RecordedOperation.NeverReturned)
        {
            json.WriteNumber("return", operation.ReturnOrder);
        }

        json.WriteNumber("invokeUs", operation.InvokedAt.Ticks / TimeSpan.TicksPerMicrosecond);
        if (operation.ReturnedAt is { } returnedAt)
        {
            json.WriteNumber("returnUs", returnedAt.Ticks / TimeSpan.TicksPerMicrosecond);
        }

        json.WriteEndObject();
    }

    private static void WriteValues(Utf8JsonWriter json, string name, IReadOnlyList<string>? values)
    {
        if (values is null)
        {
            return;
        }

        json.WriteStartArray(name);
        foreach (var value in values)
        {
            json.WriteStringValue(value);
        }

        json.WriteEndArray();
    }

    private static T Parse<T>(HistoryLines lines, Func<JsonElement, T> read)
    {
        try
        {
            using var document = JsonDocument.Parse(lines.Text);
            return read(document.RootElement);
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException)
        {
            throw lines.Problem("This is not one JSON object");
        }
    }

    private static SequentialModel ReadHeader(HistoryLines lines, JsonElement root)
    {
        if (!root.TryGetProperty("format", out var format) || format.ValueKind != JsonValueKind.String || format.GetString() != Format)
        {
            throw lines.Problem($"The first line does not name the format {Format}");
        }

        if (!root.TryGetProperty("version", out var version) || version.ValueKind != JsonValueKind.Number || !version.TryGetInt32(out var number)
            || number != Version)
        {
            throw lines.Problem($"Only version {Version} of the format can be read");
        }

        var model = root.TryGetProperty("model", out var name) && name.ValueKind == JsonValueKind.String ? SequentialModel.ByName(name.GetString()) : null;
        return model ?? throw lines.Problem("The first line names no known model (key-value, register, appended-text)");
    }

    private static RecordedOperation ReadOperation(HistoryLines lines, JsonElement root)
    {
        var fields = new OperationFields(lines);
        if (root.ValueKind != JsonValueKind.Object)
        {
            throw lines.Problem("This is not one JSON object");
        }

        foreach (var field in root.EnumerateObject())
        {
            fields.Take(field);
        }

        return fields.ToOperation();
    }

    /// <summary>What a line has said so far.</summary>
    private sealed class OperationFields(HistoryLines lines)
    {
        private readonly HashSet<string> _seen = [];
        private string? _client;
        private string? _key;
        private RecordedKind _kind;
        private string? _input;
        private string? _expected;
        private List<string>? _context;
        private List<string> _values = [];
        private RecordedOutcome _outcome;
        private long? _invoke;
        private long? _return;
        private long _invokeUs;
        private long? _returnUs;

        public void Take(JsonProperty field)
        {
            if (!_seen.Add(field.Name))
            {
                throw lines.Problem($"The field \"{field.Name}\" comes twice");
            }

            switch (field.Name)
            {
                case "client": _client = Text(field.Name, field.Value); break;
                case "key": _key = Text(field.Name, field.Value); break;
                case "kind": _kind = Kinds.FirstOrDefault(pair => pair.Name == Text(field.Name, field.Value)).Kind; break;
                case "input": _input = Text(field.Name, field.Value); break;
                case "expected": _expected = Text(field.Name, field.Value); break;
                case "context": _context = Texts(field); break;
                case "values": _values = Texts(field); break;
                case "outcome": _outcome = Outcomes.FirstOrDefault(pair => pair.Name == Text(field.Name, field.Value)).Outcome; break;
                case "invoke": _invoke = Number(field); break;
                case "return": _return = Number(field); break;
                case "invokeUs": _invokeUs = Microseconds(field); break;
                case "returnUs": _returnUs = Microseconds(field); break;
                default: throw lines.Problem($"The field \"{field.Name}\" is not known");
            }
        }

        public RecordedOperation ToOperation() => new()
        {
            Client = _client ?? throw Missing("client"),
            Key = _key ?? throw Missing("key"),
            Kind = _kind != 0 ? _kind : throw Missing("kind"),
            Input = _input,
            Expected = _expected,
            Context = _context,
            Values = _values,
            Outcome = _outcome != 0 ? _outcome : throw Missing("outcome"),
            InvokeOrder = _invoke ?? throw Missing("invoke"),
            ReturnOrder = _return ?? RecordedOperation.NeverReturned,
            InvokedAt = TimeSpan.FromTicks(_invokeUs * TimeSpan.TicksPerMicrosecond),
            ReturnedAt = _returnUs is { } us ? TimeSpan.FromTicks(us * TimeSpan.TicksPerMicrosecond) : null,
        };

        private HistoryFormatException Missing(string field) => lines.Problem($"The field \"{field}\" is missing or has no known value");

        private string Text(string name, JsonElement value) =>
            value.ValueKind == JsonValueKind.String ? value.GetString()! : throw lines.Problem($"The field \"{name}\" is not text");

        private List<string> Texts(JsonProperty field) => field.Value.ValueKind == JsonValueKind.Array
            ? [.. field.Value.EnumerateArray().Select(value => Text(field.Name, value))]
            : throw lines.Problem($"The field \"{field.Name}\" is not a list");

        private long Number(JsonProperty field) => field.Value.ValueKind == JsonValueKind.Number && field.Value.TryGetInt64(out var number)
            ? number
            : throw lines.Problem($"The field \"{field.Name}\" is not a whole number");

        private long Microseconds(JsonProperty field)
        {
            const long Most = long.MaxValue / TimeSpan.TicksPerMicrosecond;
            var us = Number(field);
            return us is >= 0 and <= Most ? us : throw lines.Problem($"The field \"{field.Name}\" is no possible time");
        }
    }
}
