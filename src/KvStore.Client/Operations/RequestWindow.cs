namespace KvStore.Client.Operations;

/// <summary>
/// Numbers the writes of this client: a random session, sequence numbers from 1, and the acknowledged floor, up to which every number is answered for good and never sent again. A server remembers the
/// last 4,096 numbers of a session in a shard, so at most 2,048 may be unfinished above the floor; writes beyond wait here, in order, within their deadlines, until the oldest is finished.
/// </summary>
internal sealed class RequestWindow(ulong session)
{
    public const int Size = 2_048;

    private readonly Lock _gate = new();
    private readonly bool[] _finished = new bool[Size];
    private readonly List<KvOperation> _waiting = [];
    private ulong _floor;
    private ulong _last;

    public ulong Session { get; } = session;

    /// <summary>Up to here every sequence number is finished.</summary>
    public ulong Floor => Volatile.Read(ref _floor);

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

            operation.Wire.Sequence = ++_last;
            operation.Wire.Session = Session;
            return true;
        }
    }

    /// <summary>The number will never be sent again. Adds the operations that may begin now, with their numbers.</summary>
    public void Finish(ulong sequence, ref List<KvOperation>? admitted)
    {
        lock (_gate)
        {
            _finished[sequence % Size] = true;
            while (_floor < _last && _finished[(_floor + 1) % Size])
            {
                _finished[(_floor + 1) % Size] = false;
                Volatile.Write(ref _floor, _floor + 1);
            }

            int room = (int)Math.Min(Size - (_last - _floor), (ulong)_waiting.Count);
            if (room == 0)
            {
                return;
            }

            admitted ??= [];
            for (int i = 0; i < room; i++)
            {
                _waiting[i].Wire.Sequence = ++_last;
                _waiting[i].Wire.Session = Session;
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
}
