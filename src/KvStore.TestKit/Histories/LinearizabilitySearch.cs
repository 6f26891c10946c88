using System.Numerics;

namespace KvStore.TestKit.Histories;

/// <summary>
/// Searches one key's history for an order of its operations that respects real time and the model: Wing and Gong's search over a linked list of calls and
/// returns, with Lowe's memoisation ("Testing for linearizability", 2016), as porcupine does it. Three facts shorten it further, none changes a verdict:
/// an observation that is right now can be placed now, for it never changes what is possible later, so nothing else is tried in its stead; an open write has
/// no return in the list, and the search is over as soon as all done operations are placed; an open write that changes nothing is left out.
/// </summary>
internal sealed class LinearizabilitySearch : IDisposable
{
    private const int End = -1;
    private readonly OperationTable _table;
    private readonly SearchBudget _budget;
    private readonly ConfigurationCache _cache;

    // The list: entry 0 is its head; calls and returns follow in the order of events.
    private readonly int[] _next;
    private readonly int[] _previous;
    private readonly int[] _operationAt;
    private readonly bool[] _isReturn;
    private readonly int[] _callOf;
    private readonly int[] _returnOf;

    private readonly ulong[] _placed;
    private readonly ulong[] _operationHash;
    private readonly Stack<(int Operation, int StateBefore)> _path = new();
    private int[] _longest = [];
    private ulong _placedHash;
    private int _state;
    private int _remaining;

    public LinearizabilitySearch(OperationTable table, SearchBudget budget)
    {
        _table = table;
        _budget = budget;
        var count = table.Operations.Length;
        _callOf = new int[count];
        _returnOf = new int[count];
        _placed = new ulong[(count + 63) / 64];
        _cache = new ConfigurationCache(_placed.Length);
        _operationHash = new ulong[count];
        var events = new List<(long Order, bool IsReturn, int Operation)>(count * 2);
        for (var operation = 0; operation < count; operation++)
        {
            _operationHash[operation] = Mix((ulong)operation + 1);
            events.Add((table.Operations[operation].InvokeOrder, false, operation));
            _returnOf[operation] = End;
            if (!table.IsOpen(operation))
            {
                events.Add((table.Operations[operation].ReturnOrder, true, operation));
                _remaining++;
            }
        }

        // At equal orders calls come first: such operations count as concurrent.
        events.Sort();
        var entries = events.Count + 1;
        _next = new int[entries];
        _previous = new int[entries];
        _operationAt = new int[entries];
        _isReturn = new bool[entries];
        for (var entry = 0; entry < entries; entry++)
        {
            _previous[entry] = entry - 1;
            _next[entry] = entry + 1 < entries ? entry + 1 : End;
            if (entry > 0)
            {
                var (_, isReturn, operation) = events[entry - 1];
                _operationAt[entry] = operation;
                _isReturn[entry] = isReturn;
                (isReturn ? _returnOf : _callOf)[operation] = entry;
            }
        }

        _state = table.Initial;
    }

    /// <summary>The longest order found of operations that fit together.</summary>
    public IReadOnlyList<RecordedOperation> LongestPrefix => [.. _longest.Select(operation => _table.Operations[operation])];

    /// <summary>The operation whose return the search could not get past after the longest prefix.</summary>
    public RecordedOperation? Stuck { get; private set; }

    /// <summary>The key's state after the longest prefix.</summary>
    public string? StuckState { get; private set; }

    public LinearizabilityVerdict Run()
    {
        PlaceObservations();
        var entry = _next[0];
        while (_remaining > 0)
        {
            if (_budget.IsSpent(_cache.Count))
            {
                return LinearizabilityVerdict.Unknown;
            }

            if (!_isReturn[entry])
            {
                entry = TryPlaceWrite(_operationAt[entry]) ? _next[0] : _next[entry];
                continue;
            }

            NoteDeadEnd(_operationAt[entry]);
            if (!TryTakeBack(out entry))
            {
                return LinearizabilityVerdict.NotLinearizable;
            }
        }

        return LinearizabilityVerdict.Linearizable;
    }

    public void Dispose() => _cache.Dispose();

    private bool TryPlaceWrite(int operation)
    {
        if (_table.Operations[operation].IsObservation)
        {
            // It does not hold here: PlaceObservations has placed all that do.
            return false;
        }

        var next = _table.Step(_state, operation);
        if (next == OperationTable.Impossible || (_table.IsOpen(operation) && !IsWorthPlacing(operation, next)))
        {
            return false;
        }

        Flip(operation);
        if (!_cache.Add(_placed, _placedHash, next))
        {
            Flip(operation);
            return false;
        }

        Place(operation, next);
        PlaceObservations();
        return true;
    }

    private bool IsWorthPlacing(int openWrite, int next)
    {
        var twin = _table.TwinBefore[openWrite];
        return next != _state && (twin < 0 || IsPlaced(twin));
    }

    private void PlaceObservations()
    {
        var before = 0;
        while (_next[before] != End && !_isReturn[_next[before]])
        {
            var operation = _operationAt[_next[before]];
            if (_table.Operations[operation].IsObservation && _table.Step(_state, operation) != OperationTable.Impossible)
            {
                // This takes its call, and perhaps a return that follows, out of the list behind "before".
                Flip(operation);
                Place(operation, _state);
            }
            else
            {
                before = _next[before];
            }
        }
    }

    /// <summary>Undoes the last write and the observations that followed it; nothing else was possible in their stead.</summary>
    private bool TryTakeBack(out int entry)
    {
        while (_path.TryPop(out var last))
        {
            Flip(last.Operation);
            _state = last.StateBefore;
            Unlift(last.Operation);
            if (!_table.Operations[last.Operation].IsObservation)
            {
                entry = _next[_callOf[last.Operation]];
                return true;
            }
        }

        entry = End;
        return false;
    }

    private void NoteDeadEnd(int blocked)
    {
        if (_path.Count < _longest.Length || (_path.Count == _longest.Length && Stuck is not null))
        {
            return;
        }

        _longest = [.. _path.Select(step => step.Operation).Reverse()];
        Stuck = _table.Operations[blocked];
        StuckState = _table.StateText(_state);
    }

    private void Place(int operation, int next)
    {
        _path.Push((operation, _state));
        _state = next;
        Unlink(_callOf[operation]);
        if (_returnOf[operation] != End)
        {
            Unlink(_returnOf[operation]);
            _remaining--;
        }
    }

    private void Unlift(int operation)
    {
        if (_returnOf[operation] != End)
        {
            Relink(_returnOf[operation]);
            _remaining++;
        }

        Relink(_callOf[operation]);
    }

    private void Unlink(int entry)
    {
        _next[_previous[entry]] = _next[entry];
        if (_next[entry] != End)
        {
            _previous[_next[entry]] = _previous[entry];
        }
    }

    private void Relink(int entry)
    {
        _next[_previous[entry]] = entry;
        if (_next[entry] != End)
        {
            _previous[_next[entry]] = entry;
        }
    }

    private bool IsPlaced(int operation) => (_placed[operation >> 6] >> (operation & 63) & 1) != 0;

    private void Flip(int operation)
    {
        _placed[operation >> 6] ^= 1UL << (operation & 63);
        _placedHash ^= _operationHash[operation];
    }

    /// <summary>The finaliser of SplitMix64: a fixed random word for each operation, so that the hash of a set is the xor of its members.</summary>
    private static ulong Mix(ulong number)
    {
        number *= 0x9E37_79B9_7F4A_7C15;
        number = (number ^ BitOperations.RotateRight(number, 30)) * 0xBF58_476D_1CE4_E5B9;
        number = (number ^ (number >> 27)) * 0x94D0_49BB_1331_11EB;
        return number ^ (number >> 31);
    }
}
