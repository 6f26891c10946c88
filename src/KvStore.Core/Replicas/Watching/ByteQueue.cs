namespace KvStore.Core.Replicas.Watching;

/// <summary>
/// Bytes of many short pieces, end to end in few arrays; the oldest go first. To the garbage collector that is next to nothing, where an array for each piece would have to be looked at, and moved, in every collection
/// for as long as it is kept. Arrays that are no longer needed are used again.
/// </summary>
internal sealed class ByteQueue
{
    private const int LeastArray = 4 * 1_024;
    private const int MostArray = 64 * 1_024;

    private byte[]?[] _arrays = new byte[]?[4];
    private byte[]? _spare;
    private int _first;
    private int _next;
    private int _used;

    /// <summary>What the arrays take.</summary>
    public long Capacity { get; private set; }

    private byte[]? Newest => _next == _first ? null : At(_next - 1);

    /// <summary>Copies two pieces, one behind the other.</summary>
    /// <returns>The number of the array, and where in it they begin.</returns>
    public (int Array, int Offset) Append(ReadOnlySpan<byte> first, ReadOnlySpan<byte> second)
    {
        int length = first.Length + second.Length;
        if (Newest is not { } array || array.Length - _used < length)
        {
            array = Open(length);
        }

        int offset = _used;
        first.CopyTo(array.AsSpan(offset));
        second.CopyTo(array.AsSpan(offset + first.Length));
        _used += length;
        return (_next - 1, offset);
    }

    public ReadOnlySpan<byte> Read(int array, int offset, int length) => At(array).AsSpan(offset, length);

    /// <summary>Pieces in arrays before this one are not needed any more.</summary>
    public void ReleaseBefore(int array)
    {
        while (_first < array)
        {
            ref byte[]? oldest = ref _arrays[_first & (_arrays.Length - 1)];
            Capacity -= oldest!.Length;
            _spare = oldest.Length == MostArray ? oldest : _spare;
            oldest = null;
            _first++;
        }
    }

    /// <summary>Nothing is needed any more.</summary>
    public void Clear()
    {
        ReleaseBefore(_next);
        _spare = null;
        _used = 0;
    }

    private byte[] At(int array)
    {
        Invariant.Assert(array >= _first && array < _next, "the array is still kept");
        return _arrays[array & (_arrays.Length - 1)]!;
    }

    /// <summary>Arrays grow with what is kept, so that the unused parts of the first and the last stay small beside it.</summary>
    private byte[] Open(int length)
    {
        if (_next - _first == _arrays.Length)
        {
            var larger = new byte[]?[_arrays.Length * 2];
            for (int number = _first; number < _next; number++)
            {
                larger[number & (larger.Length - 1)] = At(number);
            }

            _arrays = larger;
        }

        int size = Math.Max(length, (int)Math.Clamp(Capacity / 8, LeastArray, MostArray));
        byte[] opened;
        if (size == MostArray && _spare is { } spare)
        {
            opened = spare;
            _spare = null;
        }
        else
        {
            opened = GC.AllocateUninitializedArray<byte>(size);
        }

        _arrays[_next & (_arrays.Length - 1)] = opened;
        Capacity += opened.Length;
        _next++;
        _used = 0;
        return opened;
    }
}
