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
    private const int ConfigurationsToExplain = 20_000;

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

        var limits = options ?? new LinearizabilityOptions();
        var budget = new SearchBudget(limits, cancel);
        LinearizabilityResult? undecided = null;
        var keys = 0;
        foreach (var key in history.Operations.GroupBy(operation => operation.Key).OrderBy(group => group.Count()))
        {
            keys++;
            var table = new OperationTable(history.Model, [.. key]);
            switch (Search(history.Model, table, budget))
            {
                case LinearizabilityVerdict.NotLinearizable:
                    return Explain(key.Key, table, new SearchBudget(limits with { MaxConfigurations = ConfigurationsToExplain }, cancel));
                case LinearizabilityVerdict.Unknown:
                    undecided ??= new LinearizabilityResult(LinearizabilityVerdict.Unknown, $"{budget.Reason}, at key {key.Key}.") { Key = key.Key };
                    break;
            }
        }

        return undecided ?? new LinearizabilityResult(
            LinearizabilityVerdict.Linearizable, $"All {history.Operations.Count} operations on {keys} keys fit into one order a key.");
    }

    private static LinearizabilityVerdict Search(SequentialModel model, OperationTable table, SearchBudget budget)
    {
        budget.BeginSearch();
        var lookAhead = model.ReadsReturnWrittenValues ? new ValueLookAhead(table) : null;
        using var search = new LinearizabilitySearch(table, budget, lookAhead);
        return search.Run();
    }

    /// <summary>Searches once more, a little, without looking ahead: how far one gets and what is in the way is the explanation.</summary>
    private static LinearizabilityResult Explain(string key, OperationTable table, SearchBudget budget)
    {
        using var search = new LinearizabilitySearch(table, budget, lookAhead: null);
        search.Run();
        var prefix = search.LongestPrefix;
        var last = prefix.Count == 0 ? "" : $", the last of them \"{prefix[^1]}\"";
        var explanation = search.Stuck is null
            ? $"The operations on key {key} fit into no order."
            : $"At most {prefix.Count} of {table.Operations.Length} operations on key {key} were seen to fit into one order{last}; the key then holds "
                + $"{RecordedOperation.Quote(search.StuckState)}, and \"{search.Stuck}\" fits nowhere.";
        return new LinearizabilityResult(LinearizabilityVerdict.NotLinearizable, explanation) { Key = key, LongestPrefix = prefix, Unplaced = search.Stuck };
    }
}
