using System.Buffers;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;

namespace KvStore.Storage.Log;

/// <summary>Records that one loop appended in one step, laid out as on the disk but for the checksums, which the writer adds.</summary>
internal sealed class LogBuffer(LogAppender owner)
{
    /// <summary>Arrays above this go back to the pool after use, so that one big step does not pin its memory for ever.</summary>
    private const int KeepBytes = 1 << 20;

    private byte[] _bytes = ArrayPool<byte>.Shared.Rent(16 * 1024);

    public LogAppender Owner { get; } = owner;

    public int Length { get; private set; }

    /// <summary>The loop's position of the last record in here.</summary>
    public LogPosition Last { get; private set; }

    public bool IsUrgent { get; private set; }

    public ReadOnlySpan<byte> Bytes => _bytes.AsSpan(0, Length);

    public void Add(ulong shard, LogRecordKind kind, Term term, LogIndex index, ReadOnlySpan<byte> payload, SyncUrgency urgency, LogPosition position)
    {
        var total = LogFormat.TotalBytes(payload.Length);
        if (_bytes.Length - Length < total)
        {
            Grow(total);
        }

        LogFormat.Lay(_bytes.AsSpan(Length, total), shard, (byte)kind, term, index, payload);
        Length += total;
        Last = position;
        IsUrgent |= urgency == SyncUrgency.Now;
    }

    public void Reset()
    {
        Length = 0;
        IsUrgent = false;
        if (_bytes.Length > KeepBytes)
        {
            ArrayPool<byte>.Shared.Return(_bytes);
            _bytes = ArrayPool<byte>.Shared.Rent(16 * 1024);
        }
    }

    private void Grow(int more)
    {
        var bigger = ArrayPool<byte>.Shared.Rent(Math.Max(_bytes.Length * 2, checked(Length + more)));
        Bytes.CopyTo(bigger);
        ArrayPool<byte>.Shared.Return(_bytes);
        _bytes = bigger;
    }
}
