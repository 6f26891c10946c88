using System.Buffers;
using System.Collections.Concurrent;

namespace KvStore.Node.Peers;

/// <summary>
/// Messages of one loop for one peer, already encoded. A PeerFrame consists of repeated fields only, so the bytes of several buffers one behind another are again one frame.
/// </summary>
internal sealed class OutboundBuffer
{
    private const int InitialBytes = 16 * 1_024;

    /// <summary>A buffer that had to grow beyond this gives its array back, so that one large page doesn't pin memory for ever.</summary>
    private const int KeptBytes = 512 * 1_024;

    private byte[] _bytes = ArrayPool<byte>.Shared.Rent(InitialBytes);

    public int Length { get; private set; }

    /// <summary>Whether an operation is in it that its sender was told would be sent.</summary>
    public bool HoldsAdmitted { get; set; }

    /// <summary>When it was handed over (<see cref="TimeProvider.GetTimestamp"/>): a delayed link counts from here.</summary>
    public long QueuedAt { get; set; }

    public ReadOnlySpan<byte> Written => _bytes.AsSpan(0, Length);

    /// <summary>Room for exactly <paramref name="size"/> more bytes, which count as written.</summary>
    public Span<byte> Take(int size)
    {
        if (_bytes.Length - Length < size)
        {
            Grow(size);
        }

        Span<byte> room = _bytes.AsSpan(Length, size);
        Length += size;
        return room;
    }

    public void Clear()
    {
        Length = 0;
        HoldsAdmitted = false;
        if (_bytes.Length > KeptBytes)
        {
            ArrayPool<byte>.Shared.Return(_bytes);
            _bytes = ArrayPool<byte>.Shared.Rent(InitialBytes);
        }
    }

    private void Grow(int size)
    {
        int wanted = checked(Length + size);
        byte[] larger = ArrayPool<byte>.Shared.Rent((int)Math.Max((uint)wanted, Math.Min((uint)_bytes.Length * 2, (uint)Array.MaxLength)));
        Written.CopyTo(larger);
        ArrayPool<byte>.Shared.Return(_bytes);
        _bytes = larger;
    }
}

/// <summary>Buffers travel from the loops to the senders and back. Bounded: what doesn't fit is left to the collector.</summary>
internal sealed class OutboundBufferPool
{
    private const int KeptBuffers = 256;

    private readonly ConcurrentQueue<OutboundBuffer> _free = new();

    public OutboundBuffer Rent() => _free.TryDequeue(out OutboundBuffer? buffer) ? buffer : new OutboundBuffer();

    public void Return(OutboundBuffer buffer)
    {
        buffer.Clear();
        if (_free.Count < KeptBuffers)
        {
            _free.Enqueue(buffer);
        }
    }
}
