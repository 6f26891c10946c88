using System.Buffers;

namespace KvStore.Contracts.Pipeline;

/// <summary>
/// A buffer in which one frame after the other is put together. It grows by doubling, up to a stated maximum, and keeps its array when cleared, so that a stream in its stride allocates nothing.
/// Not thread-safe.
/// </summary>
public sealed class FrameBuffer : IBufferWriter<byte>, IDisposable
{
    private const int InitialBytes = 4_096;

    private byte[] _array;
    private int _written;

    /// <param name="maxBytes">More than this many bytes are never held.</param>
    public FrameBuffer(int maxBytes)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(maxBytes);
        MaxBytes = maxBytes;
        _array = [];
    }

    public int MaxBytes { get; }

    public int WrittenCount => _written;

    /// <summary>Valid until the next call that writes, clears or disposes.</summary>
    public ReadOnlyMemory<byte> WrittenMemory => _array.AsMemory(0, _written);

    public ReadOnlySpan<byte> WrittenSpan => _array.AsSpan(0, _written);

    /// <summary>Whether this many more bytes may be written.</summary>
    public bool Fits(int bytes) => bytes <= MaxBytes - _written;

    /// <summary>At least <paramref name="sizeHint"/> writable bytes behind what is written.</summary>
    /// <exception cref="InvalidOperationException">The maximum would be exceeded; ask <see cref="Fits"/> first.</exception>
    public Span<byte> GetSpan(int sizeHint = 1)
    {
        Grow(Math.Max(1, sizeHint));
        return _array.AsSpan(_written);
    }

    /// <inheritdoc cref="GetSpan"/>
    public Memory<byte> GetMemory(int sizeHint = 1)
    {
        Grow(Math.Max(1, sizeHint));
        return _array.AsMemory(_written);
    }

    public void Advance(int count)
    {
        if ((uint)count > (uint)(_array.Length - _written))
        {
            throw new ArgumentOutOfRangeException(nameof(count), count, "More than GetSpan gave.");
        }

        _written += count;
    }

    /// <summary>Makes room for this many more bytes.</summary>
    /// <exception cref="InvalidOperationException">The maximum would be exceeded; ask <see cref="Fits"/> first.</exception>
    public void Grow(int bytes)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(bytes);
        if (!Fits(bytes))
        {
            throw new InvalidOperationException($"The frame would exceed its maximum of {MaxBytes} bytes.");
        }

        if (bytes <= _array.Length - _written)
        {
            return;
        }

        long wanted = Math.Max(Math.Max(InitialBytes, 2L * _array.Length), (long)_written + bytes);
        byte[] larger = ArrayPool<byte>.Shared.Rent((int)Math.Min(wanted, MaxBytes));
        _array.AsSpan(0, _written).CopyTo(larger);
        Return();
        _array = larger;
    }

    /// <summary>Changes one byte that is already written.</summary>
    public void Overwrite(int offset, byte value) => _array.AsSpan(0, _written)[offset] = value;

    /// <summary>Forgets what is written and keeps the memory, unless it grew beyond <paramref name="keepBytes"/>: one large frame should not be paid for by an idle stream for ever.</summary>
    public void Clear(int keepBytes = int.MaxValue)
    {
        _written = 0;
        if (_array.Length > keepBytes)
        {
            Return();
            _array = [];
        }
    }

    public void Dispose()
    {
        _written = 0;
        Return();
        _array = [];
    }

    private void Return()
    {
        if (_array.Length > 0)
        {
            ArrayPool<byte>.Shared.Return(_array);
        }
    }
}
