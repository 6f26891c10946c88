namespace KvStore.Client.Operations;

/// <summary>
/// Numbers the writes of this client: a random session, sequence numbers from 1, and the acknowledged floor, up to which every number is answered for good and never sent again. A server remembers the
/// last 4,096 numbers of a session in a shard, so at most 2,048 may be unfinished above the floor; writes beyond wait here, in order, within their deadlines, until the oldest is finished.
/// <para>
/// The floor must never pass a write of an adaptive keyspace that is in doubt: it may have been taken provisionally at one node and through the log at another, and only who remembers it when the one is merged
/// can tell. Such a write ends the session: its floor stays where it is for good, and what comes next is numbered in a new one.
/// </para>
/// </summary>
internal sealed class RequestWindow(Random random)
{
    public const int Size = 2_048;

    private readonly Lock _gate = new();
    private readonly bool[] _finished = new bool[Size];
    private readonly List<KvOperation> _waiting = [];
    private ulong _floor;
    private ulong _last;

    private ulong _session = Draw(random);

    /// <summary>Reads the session and up to where its sequence numbers are finished.</summary>
    public (ulong Session, ulong Floor) Current
    {
        get
        {
            lock (_gate)
            {
                return (_session, _floor);
            }
        }
    }

    /// <summary>Gives the operation its number, or keeps it until there is room: then the caller has let go of it.</summary>
    public bool TryBeginOrPark(KvOperation operation)
    {
        lock (_gate)
        {
            if (_last - _floor >= Size)
            {
                _waiting.Add(operation);
                return false;
            }

            Number(operation);
            return true;
        }
    }

    /// <summary>The number will never be sent again. Adds the operations that may begin now, with their numbers.</summary>
    /// <param name="session">Of the operation.</param>
    /// <param name="sequence">Of the operation.</param>
    /// <param name="inDoubt">It may have been taken twice, and only the dedup table can tell: the floor must never pass it.</param>
    /// <param name="admitted">Those that may begin now.</param>
    public void Finish(ulong session, ulong sequence, bool inDoubt, ref List<KvOperation>? admitted)
    {
        lock (_gate)
        {
            if (session == _session && inDoubt)
            {
                _session = Draw(random);
                _floor = _last = 0;
                Array.Clear(_finished);
            }
            else if (session == _session)
            {
                _finished[sequence % Size] = true;
                while (_floor < _last && _finished[(_floor + 1) % Size])
                {
                    _finished[(_floor + 1) % Size] = false;
                    _floor++;
                }
            }

            int room = (int)Math.Min(Size - (_last - _floor), (ulong)_waiting.Count);
            if (room == 0)
            {
                return;
            }

            admitted ??= [];
            for (int i = 0; i < room; i++)
            {
                Number(_waiting[i]);
                admitted.Add(_waiting[i]);
            }

            _waiting.RemoveRange(0, room);
        }
    }

    /// <summary>Takes those that wait no longer: deadline passed, canceled, or all of them at the end.</summary>
    public void TakeExpired(long nowMs, bool all, List<KvOperation> into)
    {
        lock (_gate)
        {
            ParkingLot.TakeMatching(_waiting, nowMs, all, into);
        }
    }

    private static ulong Draw(Random random) => (ulong)random.NextInt64(1, long.MaxValue);

    private void Number(KvOperation operation)
    {
        operation.Wire.Sequence = ++_last;
        operation.Wire.Session = _session;
        operation.Wire.AcknowledgedFloor = _floor;
    }
}
