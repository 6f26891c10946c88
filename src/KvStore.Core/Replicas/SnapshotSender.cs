using KvStore.Core.Consensus;
using KvStore.Core.Identity;

namespace KvStore.Core.Replicas;

/// <summary>
/// Sends the view to followers whose missing entries are compacted away: one follower at a time, page by page, the next page when the last one was answered. So a snapshot
/// costs one page of memory and never floods a slow link.
/// </summary>
internal sealed class SnapshotSender(ShardDescriptor descriptor, ReplicaOptions options, RaftNode raft, IReplicaStorage storage, IPeerTransport transport)
{
    private readonly Queue<ReplicaId> _waiting = new();
    private ReplicaId _to;
    private ulong _attempt;
    private ulong _view;
    private ViewPosition _position;
    private int _page;
    private ScannedRecord _last;
    private bool _lastPageSent;
    private int _ticksLeft;

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
        _view = storage.PinView();
        Scan();
    }

    public void OnTick()
    {
        if (!_to.IsNone && --_ticksLeft <= 0)
        {
            Finish(sent: false);
        }
    }

    /// <summary>A page was read. False when it belongs to nobody any more.</summary>
    public bool OnScanned(ScanPage page)
    {
        if (_to.IsNone || page.Tag != ScanTag())
        {
            return false;
        }

        _lastPageSent = !page.More;
        if (page.Records.Count > 0)
        {
            _last = page.Records[^1];
        }

        transport.Send(descriptor.Shard, descriptor.NodeOf(_to), new SnapshotPage
        {
            From = descriptor.Self.Replica,
            To = _to,
            Term = raft.Term,
            SnapshotId = _attempt,
            Number = _page,
            Last = _lastPageSent,
            Position = _position,
            Records = page.Records,
        });
        _ticksLeft = options.SnapshotPageTicks;
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
            storage.ReleaseView(_view);
            _to = default;
        }
    }

    // Scans of clients count up from 1; those of snapshots carry the top bit, so that a late page is never mistaken for another's.
    private ulong ScanTag() => (1UL << 63) | (_attempt << 24) | (uint)_page;

    private void Scan()
    {
        _ticksLeft = options.SnapshotPageTicks;
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

    private void Finish(bool sent)
    {
        storage.ReleaseView(_view);
        ReplicaId to = _to;
        _to = default;
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
