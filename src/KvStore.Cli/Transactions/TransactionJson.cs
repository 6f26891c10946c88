using System.Text;
using System.Text.Json;
using KvStore.Cli.Data;
using KvStore.Cli.Running;
using KvStore.Client;

namespace KvStore.Cli.Transactions;

/// <summary>
/// A transaction as JSON: the shape of the HTTP face, with keys as text and versions as <c>kv get -o json</c> shows them. Values are text, or bytes in valueBase64.
/// </summary>
internal static class TransactionJson
{
    private const string Example = """{"if": [{"key": "{7}/state", "value": "open"}], "then": [{"put": "{7}/state", "value": "paid", "ttl": "30m"}], "else": [{"get": "{7}/state"}]}""";

    private static readonly string[] Lists = ["if", "then", "else"];

    /// <exception cref="CliFailure">It is none.</exception>
    public static KvTxn Parse(ReadOnlyMemory<byte> text)
    {
        try
        {
            using var document = JsonDocument.Parse(text);
            var transaction = new KvTxn();
            foreach (var list in document.RootElement.EnumerateObject())
            {
                if (!Lists.Contains(list.Name) || list.Value.ValueKind != JsonValueKind.Array)
                {
                    throw Bad($"'{list.Name}' is not one of the lists if, then and else");
                }

                foreach (var element in list.Value.EnumerateArray())
                {
                    Add(transaction, list.Name, element);
                }
            }

            return transaction;
        }
        catch (JsonException malformed)
        {
            throw Bad(malformed.Message.TrimEnd('.'));
        }
        catch (InvalidOperationException)
        {
            throw Bad("something is not of the type it should be");
        }
        catch (FormatException)
        {
            throw Bad("a valueBase64 is no base64");
        }
    }

    private static void Add(KvTxn transaction, string list, JsonElement element)
    {
        if (element.ValueKind != JsonValueKind.Object)
        {
            throw Bad($"'{list}' is a list of objects");
        }

        switch (list)
        {
            case "if":
                Compare(transaction, Fields(element, "key", "exists", "version", "value", "valueBase64"));
                break;
            case "then":
                transaction.Then(branch => Operate(branch, Fields(element, "get", "put", "delete", "value", "valueBase64", "ttl")));
                break;
            default:
                transaction.Else(branch => Operate(branch, Fields(element, "get", "put", "delete", "value", "valueBase64", "ttl")));
                break;
        }
    }

    private static Dictionary<string, JsonElement> Fields(JsonElement element, params string[] known)
    {
        var fields = element.EnumerateObject().ToDictionary(field => field.Name, field => field.Value, StringComparer.Ordinal);
        return fields.Keys.FirstOrDefault(name => !known.Contains(name)) is { } unknown ? throw Bad($"'{unknown}' is none of {string.Join(", ", known)}") : fields;
    }

    private static void Compare(KvTxn transaction, Dictionary<string, JsonElement> fields)
    {
        if (!fields.TryGetValue("key", out var named) || fields.Count != 2)
        {
            throw Bad("a comparison has its key and one of exists, version, value and valueBase64");
        }

        var key = DataOptions.Key(named.GetString());
        if (fields.TryGetValue("exists", out var exists))
        {
            _ = exists.GetBoolean() ? transaction.IfExists(key) : transaction.IfAbsent(key);
        }
        else if (fields.TryGetValue("version", out var version))
        {
            transaction.IfVersion(key, DataOptions.Version(version.GetString() ?? "", "version"));
        }
        else
        {
            transaction.IfValue(key, Value(fields));
        }
    }

    private static void Operate(KvTxnBranch branch, Dictionary<string, JsonElement> fields)
    {
        if (fields.TryGetValue("put", out var put))
        {
            var ttl = fields.TryGetValue("ttl", out var stated) ? Ttl(stated.GetString() ?? "") : (TimeSpan?)null;
            if (fields.Count != (ttl is null ? 2 : 3))
            {
                throw Bad("a put has its key, one of value and valueBase64, and perhaps a ttl");
            }

            branch.Put(DataOptions.Key(put.GetString()), Value(fields), ttl);
        }
        else if (fields.Count == 1 && fields.TryGetValue("get", out var get))
        {
            branch.Get(DataOptions.Key(get.GetString()));
        }
        else if (fields.Count == 1 && fields.TryGetValue("delete", out var delete))
        {
            branch.Delete(DataOptions.Key(delete.GetString()));
        }
        else
        {
            throw Bad("an operation has one of get, put and delete, which names its key");
        }
    }

    private static byte[] Value(Dictionary<string, JsonElement> fields)
    {
        if (fields.TryGetValue("valueBase64", out var bytes))
        {
            return bytes.GetBytesFromBase64();
        }

        return fields.TryGetValue("value", out var text) && text.GetString() is { } value ? Encoding.UTF8.GetBytes(value) : throw Bad("a value is missing: write value (text) or valueBase64");
    }

    private static TimeSpan Ttl(string text)
    {
        if (text == "never")
        {
            return Timeout.InfiniteTimeSpan;
        }

        return Quantities.TryParseTime(text, out var time) && time >= TimeSpan.FromMilliseconds(1) && time <= DataOptions.MaxTtl
            ? time
            : throw Bad($"'{text}' is not a time to live (like 500ms, 10s or 2m, from 1ms to 3650d, or never)");
    }

    private static CliFailure Bad(string what) => CliFailure.Usage($"The transaction can't be read: {what}. It looks like {Example}.");
}
