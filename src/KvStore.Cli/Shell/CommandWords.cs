using System.Text;
using KvStore.Cli.Running;

namespace KvStore.Cli.Shell;

/// <summary>Splits a line of the shell into words, as POSIX shells do: spaces separate; '...' is taken as it is; in "..." and outside a backslash takes the next character as it is; a word that begins with # begins a remark.</summary>
internal static class CommandWords
{
    /// <exception cref="CliFailure">A quote is not closed, or a backslash ends the line.</exception>
    public static IReadOnlyList<string> Split(string line)
    {
        var words = new List<string>();
        StringBuilder? word = null;
        char quote = default;
        for (var position = 0; position < line.Length; position++)
        {
            var character = line[position];
            if (quote == '\'' || (quote == '"' && character != '\\'))
            {
                if (character == quote)
                {
                    quote = default;
                }
                else
                {
                    word!.Append(character);
                }
            }
            else if (character == '\\')
            {
                position++;
                (word ??= new StringBuilder()).Append(position < line.Length ? line[position] : throw CliFailure.Usage("The line ends with a backslash; write \\\\ for one that is meant."));
            }
            else if (character is '\'' or '"')
            {
                quote = character;
                word ??= new StringBuilder();
            }
            else if (char.IsWhiteSpace(character))
            {
                if (word is not null)
                {
                    words.Add(word.ToString());
                    word = null;
                }
            }
            else if (character == '#' && word is null)
            {
                break;
            }
            else
            {
                (word ??= new StringBuilder()).Append(character);
            }
        }

        if (quote != default)
        {
            throw CliFailure.Usage($"A quote ({quote}) is not closed.");
        }

        if (word is not null)
        {
            words.Add(word.ToString());
        }

        return words;
    }
}
