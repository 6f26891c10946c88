using System.Collections.Immutable;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas;

/// <summary>A write of an open shard that this replica coordinates and has not answered.</summary>
internal struct PendingOpenWrite
{
    /// <summary>Zero once answered.</summary>
    public ulong Handle;
    public long DeadlineMs;

    /// <summary>The running number of its log record here.</summary>
    public ulong Number;

    /// <summary>The dot it minted: a peer whose durable clock covers it holds the write, however it got there.</summary>
    public Dot Dot;

    /// <summary>Which peers hold it durably: bits of <see cref="ReplicaPlaces.BitOf"/>.</summary>
    public ulong HeldBy;
    public ReadOnlyMemory<byte> Version;

    /// <summary>An increment: the counter afterwards.</summary>
    public long Counter;

    /// <summary>The request was counted by another replica, of which this one knows it: that it is durable here is all that is known.</summary>
    public bool IsKnownFromElsewhere;

    /// <summary>What the caller's session has seen with this write.</summary>
    public ReadOnlyMemory<byte> Session;

    /// <summary>The same request was sent again while this attempt still waits: its caller has gone, the answer goes to the one who asks now.</summary>
    public void PassTo(in ClientOperation newer, ReadOnlyMemory<byte> session, CompletionSink completions)
    {
        completions.Unknown(Handle, RefusalCode.DeadlineExceeded, "The same request was sent again; its answer goes to the newer attempt.");
        Handle = newer.Handle;
        Session = session;
        DeadlineMs = newer.DeadlineMs;
    }
}

/// <summary>Unanswered writes by operation number: a ring, because numbers count up and most are answered in order.</summary>
internal sealed class PendingOpenWrites(ReplicaPlaces places)
{
    private PendingOpenWrite[] _ring = new PendingOpenWrite[64];
    private ulong _first = 1;

    /// <summary>The peers that the bits of <see cref="PendingOpenWrite.HeldBy"/> stand for.</summary>
    private ImmutableArray<NodeId> _peers = places.Peers;

    /// <summary>The number that the next write gets.</summary>
    public ulong Next { get; private set; } = 1;

    public int Count { get; private set; }

    public ulong Add(in PendingOpenWrite write)
    {
        if (Next - _first == (ulong)_ring.Length)
        {
            Grow();
        }

        ulong operation = Next++;
        _ring[Slot(operation)] = write;
        Count++;
        return operation;
    }

    /// <summary>The write of an operation number; a null reference where it is answered or never was.</summary>
    public ref PendingOpenWrite Find(ulong operation)
    {
        if (operation >= _first && operation < Next && _ring[Slot(operation)].Handle != 0)
        {
            return ref _ring[Slot(operation)];
        }

        return ref System.Runtime.CompilerServices.Unsafe.NullRef<PendingOpenWrite>();
    }

    public void Remove(ulong operation)
    {
        _ring[Slot(operation)] = default;
        Count--;
        while (_first < Next && _ring[Slot(_first)].Handle == 0)
        {
            _first++;
        }
    }

    /// <summary>Unanswered operation numbers, oldest first. The caller may remove the one it is given.</summary>
    public IEnumerable<ulong> Unanswered()
    {
        ulong end = Next;
        for (ulong operation = _first; operation < end; operation++)
        {
            if (_ring[Slot(operation)].Handle != 0)
            {
                yield return operation;
            }
        }
    }

    /// <summary>Those of which the record is durable here. The caller may remove the one it is given.</summary>
    public IEnumerable<ulong> DurableUpTo(ulong durable)
    {
        ulong end = Next;
        for (ulong operation = _first; operation < end; operation++)
        {
            if (_ring[Slot(operation)].Handle == 0)
            {
                continue;
            }

            if (_ring[Slot(operation)].Number > durable)
            {
                yield break;
            }

            yield return operation;
        }
    }

    /// <summary>The members changed: the bits of who holds what stand for other peers.</summary>
    public void OnMembersChanged()
    {
        foreach (ulong operation in Unanswered())
        {
            ref PendingOpenWrite write = ref Find(operation);
            write.HeldBy = places.Translate(_peers, write.HeldBy);
        }

        _peers = places.Peers;
    }

    private int Slot(ulong operation) => (int)(operation & (ulong)(_ring.Length - 1));

    private void Grow()
    {
        PendingOpenWrite[] old = _ring;
        _ring = new PendingOpenWrite[old.Length * 2];
        for (ulong operation = _first; operation < Next; operation++)
        {
            _ring[Slot(operation)] = old[(int)(operation & (ulong)(old.Length - 1))];
        }
    }
}
