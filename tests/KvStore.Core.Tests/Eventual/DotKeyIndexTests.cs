using FluentAssertions;
using KvStore.Core.Eventual;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;
using Xunit;

namespace KvStore.Core.Tests.Eventual;

/// <summary>The index of dots beside a plain list of them.</summary>
public class DotKeyIndexTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void It_knows_the_key_of_each_dot_the_dots_of_each_key_and_who_is_oldest(int seed)
    {
        Random random = new(seed);
        DotKeyIndex index = new();
        List<(Dot Dot, Key Key)> model = [];
        ulong[] counters = new ulong[4];
        for (int step = 0; step < 4_000; step++)
        {
            if (model.Count == 0 || random.Next(2) == 0)
            {
                int actor = random.Next(1, 4);
                counters[actor] += (ulong)random.Next(1, 3);
                Dot dot = new(new ActorId((ulong)actor * 1_000), counters[actor]);
                var key = Key.FromText($"key-{random.Next(60)}");
                index.Add(dot, key);
                model.Add((dot, key));
            }
            else
            {
                int at = random.Next(3) == 0 ? random.Next(model.Count) : 0;
                index.Remove(model[at].Dot).Should().BeTrue();
                index.Remove(model[at].Dot).Should().BeFalse();
                model.RemoveAt(at);
            }

            index.Count.Should().Be(model.Count);
            if (model.Count == 0)
            {
                continue;
            }

            index.Oldest.Should().Be(model[0].Dot);
            (Dot some, Key itsKey) = model[random.Next(model.Count)];
            index.TryGetKey(some, out Key found).Should().BeTrue();
            found.Should().Be(itsKey);
            List<Dot> dots = [];
            index.CollectDotsOf(itsKey, dots);
            dots.Should().Equal(model.Where(entry => entry.Key == itsKey).Select(entry => entry.Dot).Reverse());
        }
    }
}
