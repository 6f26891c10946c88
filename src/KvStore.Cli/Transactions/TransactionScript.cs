using System.Text;
using KvStore.Cli.Data;
using KvStore.Cli.Running;
using KvStore.Client;

namespace KvStore.Cli.Transactions;

/// <summary>
/// A transaction as lines of words: <c>if</c>, <c>then</c> and <c>else</c> open the lists; below them one comparison or operation a line. Words with blanks stand in double quotes, in which \" \\ \n \t are characters;
/// what begins with # is a comment.
/// </summary>
internal static class TransactionScript
{
    private enum Part
    {
        None,
        If,
        Then,
        Else,
    }

    /// <exception cref="CliFailure">It is none; the sentence names the line.</exception>
    public static KvTxn Parse(string text)
    {
        var transaction = new KvTxn();
        var part = Part.None;
        var number = 0;
        foreach (var line in text.Split('\n'))
        {
            number++;
            var words = Words(line, number);
            if (words.Count == 0)
            {
                continue;
            }

            if (words.Count == 1 && Heading(words[0]) is { } heading)
            {
                part = heading;
                continue;
            }

            switch (part)
            {
                case Part.If:
                    Compare(transaction, words, number);
                    break;
                case Part.Then:
                    transaction.Then(branch => Operate(branch, words, number));
                    break;
                case Part.Else:
                    transaction.Else(branch => Operate(branch, words, number));
                    break;
                default:
                    throw Bad(number, "a transaction begins with 'if' or 'then' on a line of its own");
            }
        }

        return transaction;
    }

    private static Part? Heading(string word) => word.TrimEnd(':') switch
    {
        "if" => Part.If,
        "then" => Part.Then,
        "else" => Part.Else,
        _ => null,
    };

    private static void Compare(KvTxn transaction, List<string> words, int number)
    {
        switch (words)
        {
            case ["exists", var key]:
                transaction.IfExists(DataOptions.Key(key));
                break;
            case ["absent", var key]:
                transaction.IfAbsent(DataOptions.Key(key));
                break;
            case ["version", var key, var version]:
                transaction.IfVersion(DataOptions.Key(key), DataOptions.Version(version, $"line {number}"));
                break;
            case ["value", var key, var value]:
                transaction.IfValue(DataOptions.Key(key), Encoding.UTF8.GetBytes(value));
                break;
            default:
                throw Bad(number, "a comparison is 'exists KEY', 'absent KEY', 'version KEY VERSION' or 'value KEY VALUE'");
        }
    }

    private static void Operate(KvTxnBranch branch, List<string> words, int number)
    {
        switch (words)
        {
            case ["get", var key]:
                branch.Get(DataOptions.Key(key));
                break;
            case ["delete" or "del", var key]:
                branch.Delete(DataOptions.Key(key));
                break;
            case ["put", var key, var value]:
                branch.Put(DataOptions.Key(key), Encoding.UTF8.GetBytes(value));
                break;
            case ["put", var key, var value, "ttl", var ttl]:
                branch.Put(DataOptions.Key(key), Encoding.UTF8.GetBytes(value), Ttl(ttl, number));
                break;
            default:
                throw Bad(number, "an operation is 'get KEY', 'put KEY VALUE', 'put KEY VALUE ttl TIME' or 'delete KEY'");
        }
    }

    private static TimeSpan Ttl(string text, int number)
    {
        if (text == "never")
        {
            return Timeout.InfiniteTimeSpan;
        }

        return Quantities.TryParseTime(text, out var time) && time >= TimeSpan.FromMilliseconds(1) && time <= DataOptions.MaxTtl
            ? time
            : throw Bad(number, $"'{text}' is not a time to live; write it like 500ms, 10s or 2m, from 1ms to 3650d, or never");
    }

    private static List<string> Words(string line, int number)
    {
        var words = new List<string>();
        for (var at = 0; at < line.Length;)
        {
            if (char.IsWhiteSpace(line[at]))
            {
                at++;
            }
            else if (line[at] == '#')
            {
                break;
            }
            else if (line[at] == '"')
            {
                words.Add(Quoted(line, ref at, number));
            }
            else
            {
                var start = at;
                while (at < line.Length && !char.IsWhiteSpace(line[at]))
                {
                    at++;
                }

                words.Add(line[start..at]);
            }
        }

        return words;
    }

    private static string Quoted(string line, ref int at, int number)
    {
        var word = new StringBuilder();
        for (at++; at < line.Length; at++)
        {
            if (line[at] == '"')
            {
                at++;
                return word.ToString();
            }

            word.Append(line[at] == '\\' ? Escaped(line, ref at, number) : line[at]);
        }

        throw Bad(number, "a quoted word is not closed");
    }

    private static char Escaped(string line, ref int at, int number)
    {
        at++;
        switch (at < line.Length ? line[at] : ' ')
        {
            case 'n':
                return '\n';
            case 't':
                return '\t';
            case '"':
                return '"';
            case '\\':
                return '\\';
            default:
                throw Bad(number, "behind a \\ stands one of \\ \" n t");
        }
    }

    private static CliFailure Bad(int number, string what) => CliFailure.Usage($"Line {number} of the transaction can't be read: {what}.");
}
