using System.Globalization;
using KvStore.Cli.Running;

namespace KvStore.Cli.Bulk;

/// <summary>
/// How many records of a file, from its beginning, are surely in the store: kept in a small file beside it, so that a broken import can go on. Records are done in any order; the mark is below the first that is not.
/// </summary>
internal sealed class ImportMark(string path)
{
    private readonly Lock _gate = new();
    private readonly SortedSet<long> _ahead = [];

    /// <summary>All records up to this number are in the store.</summary>
    public long Done { get; private set; }

    public static string PathOf(string file) => file + ".kv-import";

    /// <exception cref="CliFailure">There is a mark, but it can't be read.</exception>
    public void Load()
    {
        if (File.Exists(path))
        {
            Done = long.TryParse(File.ReadAllText(path), NumberStyles.AllowTrailingWhite, CultureInfo.InvariantCulture, out var done)
                ? done
                : throw new CliFailure(ExitCode.NoInput, $"{path} is damaged; remove it to import the file from its beginning, which does no harm.");
        }
    }

    public void Add(long number)
    {
        lock (_gate)
        {
            _ahead.Add(number);
            while (_ahead.Remove(Done + 1))
            {
                Done++;
            }
        }
    }

    /// <summary>Records that are left out count as done.</summary>
    public void Save() => File.WriteAllText(path, Done.ToString(CultureInfo.InvariantCulture));

    public void Remove() => File.Delete(path);
}
