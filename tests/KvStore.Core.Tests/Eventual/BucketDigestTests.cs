using System.Buffers;
using FluentAssertions;
using KvStore.Core.Eventual;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;
using Xunit;

namespace KvStore.Core.Tests.Eventual;

public sealed class BucketDigestTests
{
    private static readonly ActorId One = new(1);
    private static readonly ActorId Two = new(2);

    [Theory]
    [InlineData("", "00000000000000000000000000000000")]
    [InlineData("hello", "cbd8a7b341bd9b025b1e906a48ae1d19")]
    [InlineData("The quick brown fox jumps over the lazy dog", "e34bbc7bbc071b6c7a433ca9c49a9347")]
    public void The_hash_is_MurmurHash3_as_published(string text, string expected)
        => Hash128.Of(System.Text.Encoding.ASCII.GetBytes(text)).ToString("x32", System.Globalization.CultureInfo.InvariantCulture).Should().Be(expected);

    [Fact]
    public void The_order_of_records_does_not_matter_and_what_is_taken_back_leaves_no_trace()
    {
        BucketDigests forth = new(), back = new();
        for (int i = 0; i < 1_000; i++)
        {
            forth.Add(Key.FromText($"k{i}"), Object(One, (ulong)i + 1, $"{i}"));
            back.Add(Key.FromText($"k{999 - i}"), Object(One, 1_000 - (ulong)i, $"{999 - i}"));
        }

        forth.Should().Be(back);
        back.Add(Key.FromText("more"), Object(Two, 1, "x"));
        back.Should().NotBe(forth);
        back.DifferencesTo(forth).Should().Equal(BucketDigests.BucketOf(Key.FromText("more")));
        back.Remove(Key.FromText("more"), Object(Two, 1, "x"));
        back.Should().Be(forth);
    }

    [Fact]
    public void Key_dot_value_timestamp_and_context_all_count()
    {
        BucketDigests whole = Of("k", Object(One, 1, "v"));
        whole.Should().NotBe(Of("q", Object(One, 1, "v")));
        whole.Should().NotBe(Of("k", Object(Two, 1, "v")));
        whole.Should().NotBe(Of("k", Object(One, 2, "v")));
        whole.Should().NotBe(Of("k", Object(One, 1, "w")));
        whole.Should().NotBe(Of("k", Object(One, 1, "v", context: new Dot(Two, 3))));
        whole.Should().NotBe(Of("k", DottedObject.Empty.Write(new Dot(One, 1), "v"u8.ToArray(), HybridTimestamp.FromPhysical(1)).Strip(Base(One, 1))));
        whole.Should().NotBe(new BucketDigests());
    }

    [Fact]
    public void A_deleted_key_counts_like_one_that_never_was()
        => Of("k", DottedObject.Gone(Base(One, 4)).Strip(Base(One, 4))).Should().Be(new BucketDigests());

    [Fact]
    public void A_record_of_the_log_counts_the_same_in_either_form()
    {
        OrderedRecord ordered = new(new LogIndex(7), HybridTimestamp.FromPhysical(5), "v"u8.ToArray());
        DottedObject read = DottedObject.FromOrdered(ordered);
        Of("k", DottedObject.Decode(Versioning.VersioningGen.Encoded(ordered.Encode)).Strip(Base(ActorId.Log, 7)))
            .Should().Be(Of("k", DottedObject.Decode(Versioning.VersioningGen.Encoded(read.Encode)).Strip(Base(ActorId.Log, 7))));
    }

    [Fact]
    public void They_travel()
    {
        BucketDigests sent = Of("k", Object(One, 1, "v"));
        ArrayBufferWriter<byte> bytes = new();
        sent.Encode(bytes);
        BinaryCursor input = new(bytes.WrittenMemory);
        BucketDigests received = BucketDigests.Decode(ref input);
        input.ExpectEnd();
        received.Should().Be(sent);
        received.Fold().Should().Be(sent.Fold());
    }

    [Fact]
    public void Contexts_for_which_there_was_no_room_are_found_again_and_stripped()
    {
        DottedEnvironment environment = new(2, options: new DottedOptions { MaxRemembered = 4 });
        DottedNode late = environment[2];
        environment[1].Put("first", "1");
        for (int i = 0; i < 10; i++)
        {
            environment[1].Put($"k{i}", "1");
            environment[1].Delete($"k{i}");
        }

        List<DottedEnvironment.Message> held = environment.HoldTo(2);
        held.Skip(1).ToList().ForEach(environment.Deliver);
        late.View.Should().HaveCount(10, "the deletes speak of a write that was not seen yet");
        late.ScanForDigests(100);
        late.Replica.Digests.AreComplete.Should().BeFalse();
        environment.Deliver(held[0]);
        for (int round = 0; round < 40; round++)
        {
            late.Fade();
            late.ScanForDigests(2);
        }

        late.View.Keys.Should().Equal(Key.FromText("first"));
        late.Replica.Digests.Capture().Should().Be(late.CountDigests());
    }

    private static BucketDigests Of(string key, DottedObject record)
    {
        BucketDigests digests = new();
        digests.Add(Key.FromText(key), record);
        return digests;
    }

    private static DottedObject Object(ActorId actor, ulong counter, string value, Dot context = default)
    {
        Dot dot = new(actor, counter);
        DottedObject stripped = DottedObject.Empty.Write(dot, System.Text.Encoding.UTF8.GetBytes(value), HybridTimestamp.Zero).Strip(Base(actor, counter));
        return context.Counter == 0 ? stripped : stripped.Fill(VersionVector.Of(context));
    }

    private static VersionVector Base(ActorId actor, ulong counter) => VersionVector.Of(new Dot(actor, counter));
}
