namespace KvStore.TestKit.Histories;

/// <summary>
/// Sees dead ends early: once a value has been overwritten, nobody who still has to find it can be placed unless a write of it is left. Counts, for each value,
/// the unplaced operations that need it (reads, comparisons that held) and those that may yet produce it. With a value of its own for each write this turns
/// most of an exponential search into a straight line.
/// </summary>
internal sealed class ValueLookAhead
{
    private readonly OperationTable _table;
    private readonly int[] _needed;
    private readonly int[] _produced;

    public ValueLookAhead(OperationTable table)
    {
        _table = table;
        _needed = new int[table.StateCount];
        _produced = new int[table.StateCount];
        for (var operation = 0; operation < table.Operations.Length; operation++)
        {
            TakenBack(operation);
        }
    }

    public void Placed(int operation) => Count(operation, -1);

    public void TakenBack(int operation) => Count(operation, 1);

    /// <summary>Whether placing the write leaves somebody behind who can never be placed.</summary>
    public bool LeadsNowhere(int state, int write, int next)
    {
        if (next == state)
        {
            return false;
        }

        var stillNeeded = _needed[state] - (_table.NeededState[write] == state ? 1 : 0);
        var stillProduced = _produced[state] - (_table.ProducedState[write] == state ? 1 : 0);
        return stillNeeded > 0 && stillProduced == 0;
    }

    private void Count(int operation, int change)
    {
        if (_table.NeededState[operation] is >= 0 and var needed)
        {
            _needed[needed] += change;
        }

        if (_table.ProducedState[operation] is >= 0 and var produced)
        {
            _produced[produced] += change;
        }
    }
}
