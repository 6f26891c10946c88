using CsCheck;
using FluentAssertions;
using Google.Protobuf;
using KvStore.Contracts;
using KvStore.Contracts.Pipeline;
using KvStore.Contracts.V1;
using Xunit;

namespace KvStore.Cluster.Tests.Contracts;

/// <summary>CsCheck prints the seed of a counterexample; run with CsCheck_Seed to repeat it.</summary>
public sealed class PipelineCodecTests
{
    [Fact]
    public void Operations_are_written_as_the_bytes_of_generated_code_and_read_back_equal() =>
        WireSamples.Operation.Array[0, 5].Sample(operations =>
        {
            OperationBatch generated = new();
            generated.Operations.AddRange(operations.Select(WireSamples.Generated));
            byte[] expected = generated.ToByteArray();

            using FrameBuffer buffer = new(KvLimits.MaxMessageBytes);
            foreach (WireOperation operation in operations)
            {
                PipelineCodec.WriteOperation(buffer, operation);
            }

            buffer.WrittenSpan.SequenceEqual(expected).Should().BeTrue("both codecs write the same bytes");

            List<Operation> read = [];
            OperationBatchReader reader = new(expected);
            while (reader.MoveNext(out WireOperation operation))
            {
                read.Add(WireSamples.Generated(operation));
            }

            read.Should().Equal(generated.Operations);
        });

    [Fact]
    public void Results_are_written_as_the_bytes_of_generated_code_and_read_back_equal() =>
        WireSamples.Result.Array[0, 5].Sample(results =>
        {
            ResultBatch generated = new();
            generated.Results.AddRange(results.Select(WireSamples.Generated));
            byte[] expected = generated.ToByteArray();

            using FrameBuffer buffer = new(KvLimits.MaxMessageBytes);
            foreach (WireResult result in results)
            {
                PipelineCodec.WriteResult(buffer, result);
            }

            buffer.WrittenSpan.SequenceEqual(expected).Should().BeTrue("both codecs write the same bytes");

            List<Result> read = [];
            ResultBatchReader reader = new(expected);
            while (reader.MoveNext(out WireResult result))
            {
                read.Add(WireSamples.Generated(result));
            }

            read.Should().Equal(generated.Results);
        });

    [Fact]
    public void Bodies_take_exactly_the_size_that_was_announced() =>
        Gen.Select(WireSamples.Operation, WireSamples.Result).Sample((operation, result) =>
        {
            byte[] operationBody = new byte[PipelineCodec.OperationSize(operation)];
            byte[] resultBody = new byte[PipelineCodec.ResultSize(result)];

            PipelineCodec.WriteOperationBody(operationBody, operation).Should().Be(operationBody.Length);
            PipelineCodec.WriteResultBody(resultBody, result).Should().Be(resultBody.Length);

            Operation.Parser.ParseFrom(operationBody).Should().Be(WireSamples.Generated(operation));
            Result.Parser.ParseFrom(resultBody).Should().Be(WireSamples.Generated(result));
            PipelineCodec.TryReadOperation(operationBody, out WireOperation _).Should().BeTrue();
            PipelineCodec.TryReadResult(resultBody, out WireResult _).Should().BeTrue();
        });

    [Fact]
    public void Any_bytes_at_all_are_read_or_refused_but_never_overrun() =>
        Gen.Byte.Array[0, 200].Sample(bytes =>
        {
            PipelineCodec.TryReadOperation(bytes, out _);
            PipelineCodec.TryReadResult(bytes, out _);
            DrainOperations(bytes);
            DrainResults(bytes);
        });

    [Fact]
    public void Damaged_batches_are_read_or_refused_but_never_overrun() =>
        Gen.Select(WireSamples.Result.Array[1, 3], Gen.Int[0, 1_000_000], Gen.Byte, Gen.Bool).Sample((results, at, damage, truncate) =>
        {
            using FrameBuffer buffer = new(KvLimits.MaxMessageBytes);
            foreach (WireResult result in results)
            {
                PipelineCodec.WriteResult(buffer, result);
            }

            byte[] bytes = buffer.WrittenSpan.ToArray();
            int position = at % bytes.Length;
            bytes[position] ^= damage;
            DrainResults(truncate ? bytes.AsMemory(0, position) : bytes);
        });

    [Fact]
    public void Fields_of_a_later_version_are_skipped()
    {
        byte[] known = WireSamples.Generated(new WireOperation { CallId = 7, Key = "k"u8.ToArray() }).ToByteArray();
        byte[] unknown = [0xA0, 0x06, 0x05, 0xA2, 0x06, 0x02, 1, 2, 0xA5, 0x06, 1, 2, 3, 4, 0xA1, 0x06, 1, 2, 3, 4, 5, 6, 7, 8];

        PipelineCodec.TryReadOperation((byte[])[.. unknown, .. known, .. unknown], out WireOperation operation).Should().BeTrue();

        operation.CallId.Should().Be(7);
        operation.Key.ToArray().Should().Equal("k"u8.ToArray());
    }

    [Fact]
    public void A_batch_of_more_operations_than_the_limit_is_refused()
    {
        using FrameBuffer buffer = new(KvLimits.MaxMessageBytes);
        for (int i = 0; i <= KvLimits.MaxBatchOperations; i++)
        {
            PipelineCodec.WriteOperation(buffer, new WireOperation { CallId = (ulong)i });
        }

        DrainOperations(buffer.WrittenMemory).Should().BeFalse();
    }

    [Fact]
    public void Reading_slices_the_frame_and_writing_to_a_warm_buffer_allocates_nothing()
    {
        using FrameBuffer buffer = new(KvLimits.MaxMessageBytes);
        WireOperation operation = new() { CallId = 1, Kind = OperationKind.Put, KeyspaceId = 3, Key = new byte[16], Value = new byte[100], Session = 9, Sequence = 4 };
        RoundTrip(buffer, operation);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 100; i++)
        {
            RoundTrip(buffer, operation);
        }

        (GC.GetAllocatedBytesForCurrentThread() - before).Should().Be(0);
    }

    [Fact]
    public void A_frame_buffer_refuses_to_grow_beyond_its_maximum_and_keeps_what_it_has()
    {
        using FrameBuffer buffer = new(10);
        buffer.GetSpan(8);
        buffer.Advance(8);

        buffer.Fits(3).Should().BeFalse();
        FluentActions.Invoking(() => buffer.Grow(3)).Should().Throw<InvalidOperationException>().WithMessage("*10 bytes*");
        buffer.WrittenCount.Should().Be(8);
    }

    private static void RoundTrip(FrameBuffer buffer, in WireOperation operation)
    {
        buffer.Clear();
        PipelineCodec.WriteOperation(buffer, operation);
        OperationBatchReader reader = new(buffer.WrittenMemory);
        while (reader.MoveNext(out _))
        {
        }
    }

    private static bool DrainOperations(ReadOnlyMemory<byte> bytes)
    {
        try
        {
            OperationBatchReader reader = new(bytes);
            while (reader.MoveNext(out _))
            {
            }

            return true;
        }
        catch (MalformedFrameException)
        {
            return false;
        }
    }

    private static bool DrainResults(ReadOnlyMemory<byte> bytes)
    {
        try
        {
            ResultBatchReader reader = new(bytes);
            while (reader.MoveNext(out _))
            {
            }

            return true;
        }
        catch (MalformedFrameException)
        {
            return false;
        }
    }
}
