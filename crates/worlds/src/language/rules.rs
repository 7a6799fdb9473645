//! Table: the rules by which a story is told.

/// Name of a rule and its alternatives, one a line: `weight condition : symbols`.
///
/// A condition is `-` or names of scenes or moods joined by commas, one of which must hold.
/// `S` a known character acts (`NAMED` without a pronoun, `AGAIN` the last one), `O` another one is
/// the object, `NEW` and `FRIEND` bring one in; `%he %him %his %name` stand for the actor and, with
/// an `o` after the mark, for the other one; `v vn vp b g p z d will (class)` a verb: finite,
/// and perhaps negated, or plural, base, -ing, participle, third person, past, future; `BE` the
/// auxiliary in the story's tense; `n pl j (class)=binding` a noun, its plural, a quality; `a` before one of
/// these the fitting article; `ref(binding)` the bound word again; `.@m .@s .@g` the class of the
/// story's mood, its scene or the actor's gender; `[x | y]` a choice; `{rule}` a rule; `+concept -concept` switch a concept
/// of the clause; a rule stands below those it names; `<q q>` quotation marks; `word/concept+concept` a word in that sense.
pub(super) const RULES: &[(&str, &str)] = &[
    ("own", "
3 - : ref(a.colour) ref(a.object)
2 - : ref(a.object)
"),
    ("oown", "
1 - : ref(o.colour) ref(o.object)
1 - : ref(o.object)
"),
    ("where", "
2 - : on the n(thing.@s)
1 - : under the ref(thing)
1 - : beside ONAMED
1 - : in the ref(place)
"),
    ("where2", "
2 - : in the ref(place)
1 - : near the n(thing.@s)
1 - : between the pl(thing.@s)
1 - : 
"),
    ("reason", "
2 - : the ref(creature) v(leave)
2 - : %his ref(a.pet) v(hide)
2 - : ONAMED v(have) the j(mood.@m) n(thing.@s)=thing
2 - : %he v(have) a ref(a.colour) ref(a.object)
1 - : it BE n(weekday)
1 - : the n(game) BE over
1 - : there BE no n(food.drink) at home/adverb
"),
    ("statement", "
3 - : i b(love) [ my ref(a.object) | pl(food.fruit) | the n(month) n(game) | this n(place) ]
3 - : i [ will(get) | +negated do not b(like) | +negated do not b(own) ] a n(colour) n(owned)
2 - : my n(family) [ z(live) in n(city) | is a n(profession) | z(have) n(number) pl(animal) ]
2 - : we will(meet) [ on n(weekday) | in n(month) | at n(time.point) ] in the ref(place)
2 - : you must/function.auxiliary [ b(keep) | b(sell) | b(hide) ] your ref(o.object)
2 - : the ref(creature) is [ j(size) | j(mood.@m) | n(emotion.@m) ]
2 - : i d(see) a n(colour) n(animal.@s)=creature on n(weekday)
2 - : i am n(emotion.@m) and you are [ a j(trait.@m) | a j(trait.@m) ] n(profession)
2 - : the ref(thing) is mine and the n(owned) is yours
1 - : nobody z(work) on n(weekday)
1 - : the n(weather) n(season) is +negated not over
1 - : all pl(animal.@s) b(sleep) in n(season)
1 - : i can/function.auxiliary b(play) the n(owned.instrument) j(adv.@m)
3 - : these/function.determiner pl(owned) cost/verb too much
"),
    ("question", "
3 - : +question where is [ my ref(a.object) | your ref(o.object) | the ref(thing) | the ref(creature) | the n(thing.@s)=thing ] ?
2 - : +question do you b(know) the n(profession.@s) of n(city) ?
2 - : +question will/function.auxiliary +tense.future you b(come) on n(weekday) ?
2 - : +question who d(take) my ref(a.object) ?
2 - : +question why are you n(emotion.@m) ?
1 - : +question may/function.auxiliary i b(have) some n(food.drink) ?
1 - : +question can/function.auxiliary we b(eat) the n(food.fruit)=food ?
1 - : +question how many pl(animal) b(live) in this n(place.@s) ?
"),
    ("order", "
2 - : +negated do not b(take) the n(thing.@s)=thing !
2 - : b(look) at the j(mood.@m) n(animal.@s)=creature !
1 - : b(give) me the n(food.fruit)=food !
1 - : +negated never/adverb b(eat) a n(colour) n(food.fruit) !
"),
    ("quote", "
4 - : <q {statement} . q>
2 - : <q {question} q>
1 - : <q {order} q>
"),
    ("quote2", "
4 - : <q {statement} , q>
2 - : <q {question} q>
1 - : <q {order} q>
"),
    ("job", "
1 - : a n(profession.@s)=a.prof
1 - : a n(profession)=a.prof
"),
    ("bring", "
1 - : FRIEND , a n(profession.@s)=a.prof who v(have) a n(colour)=a.colour n(owned)=a.object
1 - : FRIEND , a j(trait.@m) n(profession)=a.prof with a j(size) n(animal.pet)=a.pet
"),
    ("open", "
3 - : on a j(weather.@m) n(weekday)=day in n(month) , NEW v(motion.@m) to the n(place)=place .
2 - : it BE a j(weather.@m) n(time.part) in n(season) when NEW v(arrive) at the n(place)=place .
2 - : NEW BE a j(trait.@m) n(profession)=a.prof who v(live) near the n(place)=place .
2 - : once there BE a j(trait.@m) n(profession)=a.prof called/verb NEW in the n(place)=place .
2 - : every n(weekday)=day , NEW v(go) to the n(place)=place to [ b(wait) | b(work) | b(play) ] .
2 - : NEW v(come) from n(city) and v(love) the n(place)=place in n(season) .
2 - : one/number j(weather.@m) n(time.part) in n(month) , NEW v(leave) the house/place and v(go) to the n(place)=place .
"),
    ("introduce", "
4 - : AGAIN BE {job} and v(own) a n(colour)=a.colour n(owned)=a.object .
3 - : AGAIN v(have) a j(size) n(animal.pet)=a.pet and a n(colour)=a.colour n(owned)=a.object .
2 - : AGAIN , {job} from n(city) , v(wear) a n(colour)=a.colour n(owned.clothing)=a.object .
2 - : AGAIN v(work) as {job} and v(keep) a n(colour)=a.colour n(owned)=a.object at home .
2 - : AGAIN v(travel) with a j(trait.@m) n(animal.pet)=a.pet and v(play) a n(colour)=a.colour n(owned.instrument)=a.object .
"),
    ("second", "
4 - : FRIEND , a n(profession.@s)=a.prof , v(come) with a n(colour)=a.colour n(owned)=a.object .
3 - : AGAIN v(meet) {bring} .
2 - : FRIEND , the n(family.@g) of %oname , v(arrive) with %his n(animal.pet)=a.pet and a n(colour)=a.colour n(owned)=a.object .
2 - : then/adverb a j(trait.@m) n(profession.@s)=a.prof called/verb FRIEND v(come) in a n(colour)=a.colour n(owned.vehicle)=a.object .
"),
    ("body", "
6 - : S v(take) %his {own} [ j(adv.@m) | ] .
5 - : S v(put) %his {own} {where} .
5 - : S v(see) a j(mood.@m) n(thing.@s)=thing {where2} .
6 - : S v(say.@m) , {quote}
6 - : {quote2} NAMED v(say.@m) [ j(adv.@m) | ] .
4 - : S v(ask) O , <q {question} q>
4 - : S v(give) O a j(mood.@m) n(thing.@s)=thing .
4 - : S v(give) O %his {own} .
4 - : S vn(get) n(number) [ pl(food.fruit) | pl(food.vegetable) | pl(food.sweet) ] .
5 - : S v(eat) [ some n(food.dish)=food | a n(food.sweet)=food | a n(food.fruit)=food ] and v(drink) some n(food.drink) .
4 - : S v(see) [ a n(animal.@s)=creature | a j(size) n(animal.@s)=creature | a n(colour) n(animal.@s)=creature ] {where2} .
4 - : the ref(creature) v(animal) [ j(adv.@m) | away/adverb | over the n(thing.@s) ] .
3 - : the ref(creature) v(sound.any) at NAMED .
3 - : NAMED 's ref(a.pet) v(animal) [ j(adv.@m) | under the n(thing.@s) | after a n(animal.@s) ] .
4 - : S v(feed) %his ref(a.pet) and v(cook) some n(food.dish)=food .
4 - : the ref(thing) BE +passive p(take) by NAMED .
3 - : ONAMED 's {oown} BE +passive p(make) by NAMED .
3 - : the ref(food) BE +passive p(cook) by NAMED .
3 - : the n(thing.@s)=thing BE +passive p(get) by the n(profession) of n(city) .
4 - : S v(feel) n(emotion.@m) because +subordinate {reason} .
6 - : S vn(want) to b(make) the n(thing.@s)=thing .
4 - : S vn(know) that ONAMED v(own) a ref(o.colour) ref(o.object) .
4 - : while +subordinate S BE g(wait) , %he v(hear) a n(animal.@s)=creature .
4 - : S BE g(motion.@m) to the ref(place) when +subordinate %he v(meet) O .
3 - : S and ONAMED vp(meet) in front of the n(place.@s)=place .
3 - : S v(leave) the ref(place) and v(motion.@m) to the n(place)=place .
3 - : S v(lose) %his {own} near the n(thing.@s) .
3 - : S v(find) n(number) pl(thing.@s) under a n(thing.@s)=thing .
3 - : S will(come) back/adverb next/adjective n(weekday) with %his {own} .
3 - : S will(meet) O on n(weekday) at the ref(place) .
3 - : S will(win) the n(game) in n(month) .
3 - : S vn(play) with %his ref(a.pet) in the ref(place) .
3 - : the n(body) of NAMED BE j(mood.@m) and n(colour) .
3 - : S v(look) at ONAMED 's {oown} .
3 - : S v(like) the colour of ONAMED 's {oown} .
3 - : S v(think) of %his n(family) in n(city) .
3 - : S v(dream) of a n(game) with n(number) pl(animal) .
3 - : after the n(game) , S v(motion.@m) home/adverb with %his {own} .
2 - : every n(weekday) , S v(write) a letter to %his n(family) .
2 - : S v(read) a j(mood.@m) book/object.household about n(number) pl(animal) .
2 - : S v(count) the pl(thing.@s) and v(learn) to b(swim) .
2 - : S v(teach) O to b(cook) a n(food.sweet)=food .
2 - : S v(live) with n(number) pl(animal.pet) .
2 - : S v(grow) pl(plant) and pl(food.vegetable) in %his garden/place.outdoors .
2 - : S v(pay) n(number) coins/object.household+number.plural for the n(food.fruit)=food .
2 - : S v(fear) the j(mood.@m) n(animal) more than the n(thing.@s) .
2 - : S v(have) to b(ring) the bell/object.instrument before n(time.point) .
2 - : S v(light) a match/object.tool and v(open) the door/object.household .
2 - : S v(close) the window/object.household because +subordinate it BE j(weather.@m) .
2 - : the sun/nature v(shine) on the n(thing.@s) and the n(thing.@s) of the ref(place) .
2 - : the n(game) v(begin) at n(time.point) in the ref(place) .
2 - : S v(fall) over a n(thing.@s)=thing and v(need) a n(profession) .
4 - : the moon/nature v(rise) over the ref(place) and S v(tremble) .
4 - : S v(smile) at O and v(give) %ohim a n(plant) .
2 - : S v(nail) a j(size) sign/object.household to the n(thing.@s)=thing .
2 - : S v(plant) n(number) pl(plant) near the ref(place) .
2 - : S may/function.auxiliary +negated not b(leave) the ref(place) before n(time.point) .
2 - : S must/function.auxiliary b(find) the j(mood.@m) n(thing.@s)=thing before n(weekday) .
2 - : S should/function.auxiliary b(return) to n(city) in n(month) .
2 - : nobody in the ref(place) v(know) the secret of NAMED .
2 - : NAMED 's n(family) v(live) in n(city) and v(work) as a n(profession) .
2 - : S v(box) against a n(profession) and v(win) .
2 - : S v(spring) over the n(thing.@s) like a n(animal.@s) .
2 - : S v(dress) in n(colour) and n(colour) for the n(game) .
2 - : NAMED 's n(owned.clothing) v(match) the n(colour) n(thing.@s) .
2 - : S v(saw) a j(size) n(thing.@s)=thing into n(number) pieces/number.plural .
4 - : S v(see) n(number) pl(owned) {where2} .
4 - : S v(eat) a n(colour) n(food.fruit)=food in the n(time.part) .
5 - : NEW , a n(profession.@s)=a.prof , v(arrive) with a n(colour)=a.colour n(owned)=a.object .
2 - : in n(season) , the ref(place) BE full of pl(plant) and pl(animal.@s) .
8 forest : a n(animal.wild)=creature v(sound.wild) behind the n(thing.forest) .
3 forest : S v(climb) a j(size) tree/nature.plant and v(see) the n(place.forest) .
4 sea : S v(swim) to the bank/nature and v(see) n(number) pl(animal.sea) .
3 sea : the boat/object.vehicle of NAMED v(return) to the ref(place) at n(time.point) .
4 farm : S v(feed) the pl(animal.farm) and v(clean) the n(place.farm) .
3 farm : the n(animal.farm)=creature v(eat) the n(food.vegetable) of NAMED .
4 market : S v(go) to the bank/place.indoors and v(get) n(number) coins/object.household+number.plural .
3 market : a n(profession.market) v(get) the n(food.fruit)=food for NAMED and ONAMED .
4 school : S v(read) a letter/object.household about the n(month) n(game) .
3 school : the n(profession.school) v(teach) NAMED about pl(animal) and pl(plant) .
4 home : S v(clean) the n(place.home) and v(cook) n(food.dish)=food .
3 home : S v(sit) on the n(thing.home) near the fire/nature .
4 town : S v(park) %his n(owned.vehicle) near the park/place.outdoors .
3 town : S v(wait) for a n(profession.town) at the n(thing.town) .
"),
    ("close", "
3 - : in the end , S v(go) home/adverb with %his {own} and BE n(emotion.@m) .
3 - : that n(time.part) , S v(wait) at home/adverb and v(feel) n(emotion.@m) .
2 - : S and ONAMED vp(return) to the ref(place) [ once more | every n(weekday) ] .
2 - : from that n(weekday)=day on , S v(keep) %his ref(a.pet) and %his {own} in n(city) .
2 - : at last , NAMED 's ref(a.colour) ref(a.object) BE +passive p(make) and everybody BE n(emotion.@m) .
1 - : the ref(place) BE quiet/adjective now/adverb and S BE n(emotion.@m) .
"),
];
