using CsCheck;
using FluentAssertions;
using Google.Protobuf;
using KvStore.Contracts.Pipeline;
using KvStore.Contracts.V1;
using KvStore.Core.Identity;
using KvStore.Node.Peers;
using Xunit;
using CoreEntry = KvStore.Core.Consensus.Entry;
using CoreRaftMessage = KvStore.Core.Consensus.RaftMessage;
using CoreSnapshotPage = KvStore.Core.Replicas.SnapshotPage;
using DottedMessageKind = KvStore.Core.Replicas.DottedMessageKind;

namespace KvStore.Cluster.Tests.Peers;

/// <summary>The hand-written codec against the generated one, both ways.</summary>
public sealed class PeerFrameCodecTests
{
    [Fact]
    public void A_raft_message_is_written_as_generated_code_writes_it_and_read_back()
    {
        Gen.Select(PeerMessages.Shard, Gen.ULong, PeerMessages.Raft).Sample((shard, epoch, message) =>
        {
            OutboundBuffer buffer = new();
            PeerFrameCodec.TryAppend(buffer, shard, epoch, message).Should().BeTrue();

            byte[] generated = Generated(new ShardMessage { Shard = shard.Packed, Epoch = epoch, Raft = Generate(message) });
            buffer.Written.SequenceEqual(generated).Should().BeTrue();

            PeerFrameReader reader = new(generated, new EntryScratch());
            reader.Read().Should().BeTrue();
            reader.Item.Should().Be(PeerFrameItem.Raft);
            reader.Shard.Should().Be(shard);
            reader.Epoch.Should().Be(epoch);
            Generate(reader.Raft).Should().Be(Generate(message));
            reader.Read().Should().BeFalse();
        });
    }

    [Fact]
    public void A_dotted_message_is_written_as_generated_code_writes_it_and_read_back()
    {
        Gen.Select(PeerMessages.Shard, Gen.ULong[0, 9], PeerMessages.Dotted).Sample((shard, epoch, message) =>
        {
            OutboundBuffer buffer = new();
            PeerFrameCodec.TryAppend(buffer, shard, epoch, message.Kind, message.Payload).Should().BeTrue();

            DottedMessage dotted = new() { Kind = (uint)message.Kind, Payload = ByteString.CopyFrom(message.Payload) };
            byte[] generated = Generated(new ShardMessage { Shard = shard.Packed, Epoch = epoch, Dotted = dotted });
            buffer.Written.SequenceEqual(generated).Should().BeTrue();

            PeerFrameReader reader = new(generated, new EntryScratch());
            reader.Read().Should().BeTrue();
            reader.Item.Should().Be(PeerFrameItem.Dotted);
            reader.DottedKind.Should().Be(message.Kind);
            reader.DottedPayload.ToArray().Should().Equal(message.Payload);
        });
    }

    [Fact]
    public void A_snapshot_page_is_written_as_generated_code_writes_it_and_read_back()
    {
        Gen.Select(PeerMessages.Shard, PeerMessages.Snapshot).Sample((shard, page) =>
        {
            OutboundBuffer buffer = new();
            PeerFrameCodec.TryAppend(buffer, shard, 1, page).Should().BeTrue();

            byte[] generated = Generated(new ShardMessage { Shard = shard.Packed, Epoch = 1, Snapshot = Generate(page) });
            buffer.Written.SequenceEqual(generated).Should().BeTrue();

            PeerFrameReader reader = new(generated, new EntryScratch());
            reader.Read().Should().BeTrue();
            reader.Item.Should().Be(PeerFrameItem.Snapshot);
            Generate(reader.Snapshot).Should().Be(Generate(page));
        });
    }

    [Fact]
    public void Forwarded_operations_and_results_are_written_as_generated_code_writes_them_and_read_back()
    {
        Gen.Select(Gen.ULong, PeerMessages.Operation, PeerMessages.Result).Sample((id, operation, result) =>
        {
            OutboundBuffer buffer = new();
            PeerFrameCodec.TryAppend(buffer, id, operation).Should().BeTrue();
            PeerFrameCodec.TryAppend(buffer, id, result).Should().BeTrue();

            PeerFrame frame = PeerFrame.Parser.ParseFrom(buffer.Written);
            frame.Operations.Should().ContainSingle().Which.ForwardId.Should().Be(id);
            frame.Results.Should().ContainSingle().Which.ForwardId.Should().Be(id);
            frame.ToByteArray().Should().Equal(buffer.Written.ToArray());

            PeerFrameReader reader = new(frame.ToByteArray(), new EntryScratch());
            reader.Read().Should().BeTrue();
            (reader.Item, reader.ForwardId, reader.Operation.CallId).Should().Be((PeerFrameItem.Operation, id, operation.CallId));
            reader.Operation.Key.ToArray().Should().Equal(operation.Key.ToArray());
            reader.Read().Should().BeTrue();
            (reader.Item, reader.ForwardId, reader.Result.CallId).Should().Be((PeerFrameItem.Result, id, result.CallId));
            reader.Result.Value.ToArray().Should().Equal(result.Value.ToArray());
            reader.Read().Should().BeFalse();
        });
    }

    [Fact]
    public void Raft_messages_are_written_and_read_without_allocating()
    {
        OutboundBuffer buffer = new();
        CoreEntry[] entries = [new CoreEntry(new Term(3), new LogIndex(9), KvStore.Core.Consensus.EntryKind.Data, new byte[100])];
        CoreRaftMessage message = new() { Kind = KvStore.Core.Consensus.RaftMessageKind.Append, Term = new Term(3), Entries = entries };
        EntryScratch scratch = new();
        PeerFrameCodec.TryAppend(buffer, ShardId.System, 1, message);
        byte[] frame = buffer.Written.ToArray();
        Walk(frame, scratch);
        buffer.Clear();

        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 100; i++)
        {
            PeerFrameCodec.TryAppend(buffer, ShardId.System, 1, message);
            Walk(frame, scratch);
            buffer.Clear();
        }

        (GC.GetAllocatedBytesForCurrentThread() - before).Should().Be(0);

        static void Walk(byte[] bytes, EntryScratch scratch)
        {
            PeerFrameReader reader = new(bytes, scratch);
            while (reader.Read())
            {
            }
        }
    }

    [Fact]
    public void Buffers_one_behind_another_are_one_frame()
    {
        OutboundBuffer first = new();
        OutboundBuffer second = new();
        PeerFrameCodec.TryAppend(first, ShardId.System, 1, DottedMessageKind.Pull, [1]);
        PeerFrameCodec.TryAppend(second, ShardId.System, 2, DottedMessageKind.Pull, [2]);

        PeerFrame frame = PeerFrame.Parser.ParseFrom([.. first.Written, .. second.Written]);

        frame.Messages.Select(message => message.Epoch).Should().Equal(1, 2);
    }

    [Fact]
    public void A_message_longer_than_a_frame_may_be_is_refused_and_leaves_no_trace()
    {
        OutboundBuffer buffer = new();

        PeerFrameCodec.TryAppend(buffer, ShardId.System, 1, DottedMessageKind.PullPage, new byte[PeerMeshOptions.MaxMessageBytes]).Should().BeFalse();

        buffer.Length.Should().Be(0);
    }

    [Fact]
    public void Unknown_fields_are_skipped_so_that_later_versions_may_add_some()
    {
        PeerFrame frame = new() { Messages = { new ShardMessage { Shard = 1, Dotted = new KvStore.Contracts.V1.DottedMessage { Kind = 4 } } } };
        byte[] bytes = [.. new byte[] { 0xA0, 0x06, 0x07, 0xAA, 0x06, 0x01, 0x09 }, .. frame.ToByteArray()];

        PeerFrameReader reader = new(bytes, new EntryScratch());

        reader.Read().Should().BeTrue();
        reader.DottedKind.Should().Be(DottedMessageKind.Pull);
        reader.Read().Should().BeFalse();
    }

    [Fact]
    public void Damaged_frames_are_read_or_refused_as_malformed_and_nothing_else()
    {
        Gen.Select(PeerMessages.Shard, PeerMessages.Raft, PeerMessages.Snapshot, PeerMessages.Operation)
            .SelectMany((shard, raft, page, operation) => Damage(Frame(shard, raft, page, operation)))
            .Sample(Walk, iter: 5_000);
    }

    [Fact]
    public void Noise_is_read_or_refused_as_malformed_and_nothing_else()
    {
        Gen.Byte.Array[0, 300].Sample(Walk, iter: 5_000);
    }

    private static byte[] Frame(ShardId shard, CoreRaftMessage raft, CoreSnapshotPage page, WireOperation operation)
    {
        OutboundBuffer buffer = new();
        PeerFrameCodec.TryAppend(buffer, shard, 1, raft);
        PeerFrameCodec.TryAppend(buffer, shard, 1, page);
        PeerFrameCodec.TryAppend(buffer, 7, operation);
        return buffer.Written.ToArray();
    }

    private static Gen<byte[]> Damage(byte[] frame) => Gen.Select(Gen.Int[0, frame.Length], Gen.Select(Gen.Int[0, frame.Length - 1], Gen.Byte).Array[0, 4], (length, flips) =>
    {
        byte[] damaged = [.. frame];
        foreach ((int at, byte value) in flips)
        {
            damaged[at] ^= value;
        }

        return flips.Length == 0 ? damaged[..length] : damaged;
    });

    private static void Walk(byte[] bytes)
    {
        PeerFrameReader reader = new(bytes, new EntryScratch());
        try
        {
            while (reader.Read())
            {
            }
        }
        catch (MalformedFrameException)
        {
            // The documented way to say so. Anything else fails the test.
        }
    }

    private static byte[] Generated(ShardMessage message) => new PeerFrame { Messages = { message } }.ToByteArray();

    private static KvStore.Contracts.V1.RaftMessage Generate(in CoreRaftMessage message)
    {
        KvStore.Contracts.V1.RaftMessage generated = new()
        {
            Kind = (uint)message.Kind,
            From = message.From.Value,
            To = message.To.Value,
            Term = message.Term.Value,
            Index = message.Index.Value,
            LogTerm = message.LogTerm.Value,
            Commit = message.Commit.Value,
            Reject = message.Reject,
            Hint = message.Hint.Value,
            Round = message.Round,
        };
        foreach (CoreEntry entry in message.Entries.Span)
        {
            generated.Entries.Add(new KvStore.Contracts.V1.Entry
            {
                Term = entry.Term.Value,
                Index = entry.Index.Value,
                Kind = (uint)entry.Kind,
                Payload = ByteString.CopyFrom(entry.Payload.Span),
            });
        }

        return generated;
    }

    private static KvStore.Contracts.V1.SnapshotPage Generate(in CoreSnapshotPage page)
    {
        KvStore.Contracts.V1.SnapshotPage generated = new()
        {
            From = page.From.Value,
            To = page.To.Value,
            Term = page.Term.Value,
            SnapshotId = page.SnapshotId,
            Number = (uint)page.Number,
            Last = page.Last,
            Applied = page.Position.Applied.Value,
            AppliedTerm = page.Position.AppliedTerm.Value,
            Dotted = page.Position.Dotted,
        };
        generated.Records.AddRange(page.Records.Select(record => new SnapshotRecord
        {
            Space = (uint)record.Space,
            Key = ByteString.CopyFrom(record.Key.Span),
            Record = ByteString.CopyFrom(record.Record.Span),
        }));
        return generated;
    }
}
