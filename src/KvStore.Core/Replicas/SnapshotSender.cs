using KvStore.Core.Consensus;
using KvStore.Core.Identity;

namespace KvStore.Core.Replicas;

/// <summary>
/// Sends the view to followers whose missing entries are compacted away: one follower at a time, page by page, the next page when the last one was answered. So a snapshot
/// costs one page of memory and never floods a slow link; and over all followers it stays within <see cref="ReplicaOptions.SnapshotBytesPerSecond"/>.
/// The group of an open shard orders no data: its snapshot holds a position, the regime, the members and the requests that the log has applied, because the follower's data is its own and healed otherwise.
/// </summary>
internal sealed class SnapshotSender(ShardDescriptor descriptor, RegimeState regimes, KvStateMachine stateMachine, ReplicaPlaces places, ReplicaOptions options, RaftNode raft, IReplicaStorage storage, IPeerTransport transport)
{
    private readonly Queue<ReplicaId> _waiting = new();
    private ReplicaId _to;
    private ulong _attempt;
    private ulong _view;
    private ViewPosition _position;

    /// <summary>The records of an open shard's snapshot, and how many of them were sent; null where the view is sent.</summary>
    private List<ScannedRecord>? _records;
    private int _sent;
    private int _page;
    private ScannedRecord _last;
    private bool _lastPageSent;
    private int _ticksLeft;

    /// <summary>Bytes that may be sent now. A page is sent as long as there are any, and its size is paid off by the ticks that follow.</summary>
    private long _budget = options.SnapshotBytesPerSecond;
    private bool _waitsForBudget;

    public void Want(ReplicaId follower)
    {
        if (follower != _to && !_waiting.Contains(follower))
        {
            _waiting.Enqueue(follower);
        }
    }

    public bool IsIdle => _to.IsNone && _waiting.Count == 0;

    public bool WantsToBegin => _to.IsNone && _waiting.Count > 0;

    /// <summary>Begins with the next follower. The caller has just sealed the view at <paramref name="position"/>.</summary>
    public void Begin(in ViewPosition position)
    {
        _to = _waiting.Dequeue();
        _attempt++;
        _position = position;
        _page = 0;
        _last = default;
        _lastPageSent = false;
        if (regimes.IsOrdered)
        {
            _records = null;
            _view = storage.PinView();
            Scan();
            return;
        }

        _sent = 0;
        _records =
        [
            new ScannedRecord(RecordSpace.Meta, ShardRegime.MetaKey.ToArray(), regimes.Current.Encode()),
            new ScannedRecord(RecordSpace.Meta, MembersCodec.Key.ToArray(), MembersCodec.EncodeMembers(places.Members)),
            .. stateMachine.DescribeRequests(),
        ];
        SendNextRecords();
    }

    public void OnTick()
    {
        _budget = Math.Min(_budget + Math.Max(1, options.SnapshotBytesPerSecond * options.TickMs / 1_000), options.SnapshotBytesPerSecond);
        if (_to.IsNone)
        {
            return;
        }

        if (_waitsForBudget)
        {
            Scan();
        }
        else if (--_ticksLeft <= 0)
        {
            Finish(sent: false);
        }
    }

    /// <summary>The members changed: nothing is sent to those that were removed.</summary>
    public void OnMembersChanged()
    {
        for (int left = _waiting.Count; left > 0; left--)
        {
            ReplicaId follower = _waiting.Dequeue();
            if (places.Members.Config.IsMember(follower))
            {
                _waiting.Enqueue(follower);
            }
        }

        if (!_to.IsNone && !places.Members.Config.IsMember(_to))
        {
            EndAttempt();
        }
    }

    /// <summary>A page was read. False when it belongs to nobody any more.</summary>
    public bool OnScanned(ScanPage page)
    {
        if (_to.IsNone || page.Tag != ScanTag())
        {
            return false;
        }

        if (page.Records.Count > 0)
        {
            _last = page.Records[^1];
        }

        SendPage(page.Records, !page.More);
        return true;
    }

    /// <summary>The follower took page <see cref="RaftMessage.Index"/> of attempt <see cref="RaftMessage.Round"/>, or refused the snapshot.</summary>
    public void OnAnswer(in RaftMessage message)
    {
        if (message.From != _to || message.Round != _attempt || (!message.Reject && message.Index.Value != (ulong)_page))
        {
            return;
        }

        if (message.Reject || _lastPageSent)
        {
            Finish(sent: !message.Reject);
            return;
        }

        _page++;
        Scan();
    }

    /// <summary>The leadership ended.</summary>
    public void Abort()
    {
        _waiting.Clear();
        if (!_to.IsNone)
        {
            EndAttempt();
        }
    }

    // Scans of clients count up from 1; those of snapshots carry the top bit, so that a late page is never mistaken for another's.
    private ulong ScanTag() => (1UL << 63) | (_attempt << 24) | (uint)_page;

    private void SendNextRecords()
    {
        int bytes = 0, from = _sent;
        while (_sent < _records!.Count && bytes < options.SnapshotPageBytes)
        {
            bytes += _records[_sent].Key.Length + _records[_sent].Record.Length;
            _sent++;
        }

        SendPage(_records.GetRange(from, _sent - from), last: _sent == _records.Count);
    }

    private void Scan()
    {
        if (_records is not null)
        {
            SendNextRecords();
            return;
        }

        _ticksLeft = options.SnapshotPageTicks;
        _waitsForBudget = _budget <= 0;
        if (_waitsForBudget)
        {
            return;
        }

        storage.BeginScan(new ScanRequest
        {
            Tag = ScanTag(),
            MaxRecords = 10_000,
            MaxBytes = options.SnapshotPageBytes,
            After = _last.Key,
            AfterSpace = _last.Space,
            PinnedView = _view,
        });
    }

    private void SendPage(IReadOnlyList<ScannedRecord> records, bool last)
    {
        _lastPageSent = last;
        foreach (ScannedRecord record in records)
        {
            _budget -= record.Key.Length + record.Record.Length;
        }

        transport.Send(descriptor.Shard, places.NodeOf(_to), new SnapshotPage
        {
            From = descriptor.Self.Replica,
            To = _to,
            Term = raft.Term,
            SnapshotId = _attempt,
            Number = _page,
            Last = _lastPageSent,
            Position = _position,
            Records = records,
        });
        _ticksLeft = options.SnapshotPageTicks;
    }

    private void ReleaseView()
    {
        if (_records is null)
        {
            storage.ReleaseView(_view);
        }

        _records = null;
    }

    private void EndAttempt()
    {
        ReleaseView();
        _to = default;
        _waitsForBudget = false;
    }

    private void Finish(bool sent)
    {
        ReplicaId to = _to;
        EndAttempt();
        if (sent)
        {
            raft.ReportSnapshotSent(to, _position.Applied);
        }
        else
        {
            raft.ReportSnapshotFailed(to, _position.Applied);
        }
    }
}
