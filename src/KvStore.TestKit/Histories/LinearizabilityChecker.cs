namespace KvStore.TestKit.Histories;

/// <summary>
/// Decides whether a history is linearizable (Herlihy and Wing 1990): whether each key's operations could have happened one at a time, each at some moment
/// between its invocation and its return, with the answers that the clients got.
/// </summary>
/// <remarks>
/// A write that was not done must never show. One whose outcome is unknown may take effect at any time after its invocation, or never. Unknown reads say
/// nothing. Keys are independent, so each is searched on its own (linearizability is local), the small ones first.
/// </remarks>
public static class LinearizabilityChecker
{
    /// <summary>Checks a history against its model.</summary>
    /// <param name="history">What happened.</param>
    /// <param name="options">The limits of the search.</param>
    /// <param name="cancel">Gives up with <see cref="LinearizabilityVerdict.Unknown"/>; no exception.</param>
    /// <returns>
    /// Not linearizable as soon as one key is not; otherwise unknown if a key could not be decided within the limits; otherwise linearizable.
    /// </returns>
    public static LinearizabilityResult Check(History history, LinearizabilityOptions? options = null, CancellationToken cancel = default)
    {
        ArgumentNullException.ThrowIfNull(history);
        var invented = ProvenanceChecker.Check(history);
        if (invented.Count > 0)
        {
            return new LinearizabilityResult(LinearizabilityVerdict.NotLinearizable, invented[0].Explanation)
            {
                Key = invented[0].Key,
                Unplaced = invented[0].Read,
            };
        }

        var budget = new SearchBudget(options ?? new LinearizabilityOptions(), cancel);
        LinearizabilityResult? undecided = null;
        var keys = 0;
        foreach (var key in history.Operations.GroupBy(operation => operation.Key).OrderBy(group => group.Count()))
        {
            keys++;
            var result = CheckKey(history.Model, key.Key, [.. key], budget);
            if (result?.Verdict == LinearizabilityVerdict.NotLinearizable)
            {
                return result;
            }

            undecided ??= result;
        }

        return undecided ?? new LinearizabilityResult(
            LinearizabilityVerdict.Linearizable, $"All {history.Operations.Count} operations on {keys} keys fit into one order a key.");
    }

    private static LinearizabilityResult? CheckKey(SequentialModel model, string key, RecordedOperation[] operations, SearchBudget budget)
    {
        var table = new OperationTable(model, operations);
        budget.BeginSearch();
        using var search = new LinearizabilitySearch(table, budget);
        return search.Run() switch
        {
            LinearizabilityVerdict.Linearizable => null,
            LinearizabilityVerdict.Unknown => new LinearizabilityResult(LinearizabilityVerdict.Unknown, $"{budget.Reason}, at key {key}.") { Key = key },
            _ => new LinearizabilityResult(LinearizabilityVerdict.NotLinearizable, Explain(key, table, search))
            {
                Key = key,
                LongestPrefix = search.LongestPrefix,
                Unplaced = search.Stuck,
            },
        };
    }

    private static string Explain(string key, OperationTable table, LinearizabilitySearch search)
    {
        var last = search.LongestPrefix.Count == 0 ? "" : $", the last of them \"{search.LongestPrefix[^1]}\"";
        return $"At most {search.LongestPrefix.Count} of {table.Operations.Length} operations on key {key} fit into one order{last}; the key then holds "
            + $"{RecordedOperation.Quote(search.StuckState)}, and \"{search.Stuck}\" fits nowhere.";
    }
}
