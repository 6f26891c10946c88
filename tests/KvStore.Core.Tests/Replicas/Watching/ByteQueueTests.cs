using CsCheck;
using FluentAssertions;
using KvStore.Core.Replicas.Watching;
using Xunit;

namespace KvStore.Core.Tests.Replicas.Watching;

/// <summary>The arrays in which a window keeps keys and records.</summary>
public class ByteQueueTests
{
    private static readonly Gen<int> Length = Gen.Frequency((1, Gen.Const(0)), (8, Gen.Int[1, 300]), (2, Gen.Int[2_000, 9_000]), (1, Gen.Int[60_000, 200_000]));

    [Fact]
    public void Every_piece_that_is_kept_reads_as_it_was_written() =>
        Gen.Select(Length, Length, Gen.Int[0, 5]).Array[1, 300].Sample(steps =>
        {
            var queue = new ByteQueue();
            var kept = new Queue<(int Array, int Offset, byte[] Bytes)>();
            byte salt = 0;
            foreach ((int first, int second, int dropped) in steps)
            {
                byte[] bytes = Pattern(first + second, ++salt);
                (int array, int offset) = queue.Append(bytes.AsSpan(0, first), bytes.AsSpan(first));
                kept.Enqueue((array, offset, bytes));
                for (int i = 0; i < dropped && kept.Count > 1; i++)
                {
                    kept.Dequeue();
                    queue.ReleaseBefore(kept.Peek().Array);
                }

                foreach ((int at, int from, byte[] expected) in kept)
                {
                    if (!queue.Read(at, from, expected.Length).SequenceEqual(expected))
                    {
                        return false;
                    }
                }
            }

            return true;
        }, iter: 200);

    [Fact]
    public void What_it_takes_stays_near_what_is_kept_and_nothing_is_left_when_it_is_cleared()
    {
        var queue = new ByteQueue();
        var arrays = new Queue<int>();
        byte[] piece = Pattern(100, 1);
        for (int i = 0; i < 50_000; i++)
        {
            arrays.Enqueue(queue.Append(piece, piece).Array);
            if (arrays.Count > 10_000)
            {
                arrays.Dequeue();
                queue.ReleaseBefore(arrays.Peek());
            }

            queue.Capacity.Should().BeLessThanOrEqualTo((arrays.Count * 200 * 3 / 2) + (2 * 4_096));
        }

        queue.Clear();
        queue.Capacity.Should().Be(0);
        (int array, int offset) = queue.Append(piece, []);
        queue.Read(array, offset, piece.Length).ToArray().Should().Equal(piece);
    }

    private static byte[] Pattern(int length, byte salt)
    {
        var bytes = new byte[length];
        for (int i = 0; i < length; i++)
        {
            bytes[i] = (byte)((i * 31) + salt);
        }

        return bytes;
    }
}
