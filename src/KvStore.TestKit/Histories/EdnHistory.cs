using System.Text;

namespace KvStore.TestKit.Histories;

/// <summary>Jepsen operations on a store of texts as EDN maps, one a line, with the keys :process, :type, :f, :key and :value.</summary>
internal static class EdnHistory
{
    private const string Nil = "nil";

    public static History Read(HistoryLines lines)
    {
        var events = new JepsenEvents(lines);
        do
        {
            ReadLine(lines, events);
        }
        while (lines.MoveNext());
        return events.ToHistory(SequentialModel.AppendedText);
    }

    private static void ReadLine(HistoryLines lines, JepsenEvents events)
    {
        var map = new EdnMap(lines).Read();
        var process = Field(lines, map, ":process").Text;
        var type = Field(lines, map, ":type").Text;
        var key = Field(lines, map, ":key").Text;
        var value = Field(lines, map, ":value");
        var kind = Field(lines, map, ":f").Text switch
        {
            ":get" => RecordedKind.Get,
            ":put" => RecordedKind.Put,
            ":append" => RecordedKind.Append,
            var other => throw lines.Problem($"The function {other} is not known (:get, :put, :append)"),
        };
        switch (type)
        {
            case ":invoke" when kind != RecordedKind.Get && !value.IsString:
                throw lines.Problem("The value of a write is not text");
            case ":invoke":
                events.Invoke(process, kind, key, kind == RecordedKind.Get ? null : value.Text, expected: null);
                break;
            case ":ok" when !value.IsString && value.Text != Nil:
                throw lines.Problem("The value of an operation is neither text nor nil");
            case ":ok" or ":fail" or ":info":
                events.End(process, kind, type[1..], value is { IsString: false, Text: ":timed-out" }, value.IsString ? [value.Text] : []);
                break;
            default:
                throw lines.Problem($"The type {type} is not known (:invoke, :ok, :fail, :info)");
        }
    }

    private static EdnToken Field(HistoryLines lines, Dictionary<string, EdnToken> map, string name) =>
        map.TryGetValue(name, out var token) ? token : throw lines.Problem($"The map has no {name}");

    private readonly record struct EdnToken(string Text, bool IsString);

    /// <summary>One flat map of keywords to strings, numbers, keywords or nil: as much EDN as these files have.</summary>
    private sealed class EdnMap(HistoryLines lines)
    {
        private readonly string _text = lines.Text.Trim();
        private int _at;

        public Dictionary<string, EdnToken> Read()
        {
            var map = new Dictionary<string, EdnToken>();
            Expect('{');
            SkipBlanks();
            while (Peek() != '}')
            {
                var key = Token();
                SkipBlanks();
                if (key.IsString || !key.Text.StartsWith(':') || !map.TryAdd(key.Text, Token()))
                {
                    throw Malformed();
                }

                SkipBlanks();
            }

            _at++;
            return _at == _text.Length ? map : throw Malformed();
        }

        private EdnToken Token()
        {
            if (Peek() == '"')
            {
                return new EdnToken(String(), IsString: true);
            }

            var start = _at;
            while (Peek() is not (',' or '}' or '{' or '"') && !char.IsWhiteSpace(Peek()))
            {
                _at++;
            }

            return _at > start ? new EdnToken(_text[start.._at], IsString: false) : throw Malformed();
        }

        private string String()
        {
            Expect('"');
            var value = new StringBuilder();
            while (Peek() != '"')
            {
                var character = _text[_at++];
                value.Append(character == '\\' ? Escaped() : character);
            }

            _at++;
            return value.ToString();
        }

        private char Escaped()
        {
            var character = Peek();
            _at++;
            return character switch
            {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                '"' or '\\' => character,
                _ => throw Malformed(),
            };
        }

        private void SkipBlanks()
        {
            while (_at < _text.Length && (_text[_at] == ',' || char.IsWhiteSpace(_text[_at])))
            {
                _at++;
            }
        }

        private void Expect(char character)
        {
            if (Peek() != character)
            {
                throw Malformed();
            }

            _at++;
        }

        private char Peek() => _at < _text.Length ? _text[_at] : throw Malformed();

        private HistoryFormatException Malformed() => lines.Problem("This is not one EDN map");
    }
}
